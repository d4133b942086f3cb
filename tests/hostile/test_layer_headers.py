"""Layers with malicious or ambiguous headers: refused in one line, or read as Docker reads them."""
import time
from pathlib import Path

import pytest

from occystrap_core.tar.header import NAME_CAP
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.hostile.test_archives_refused import Layout, config, diff_ids
from tests.unit.core.tar.raw import END, gnu_long, header, member, pax
from tests.unit.tar.archives import gzipped, write_tar

TWO_TARS = member(b'a') + bytes(512) + member(b'b') + END
REFUSED = {
    'one block of zeros and more entries': (TWO_TARS, 'single block of zeros', 'tar-invalid'),
    'a name beyond PATH_MAX': (gnu_long(b'n' * (NAME_CAP + 1)) + member(b'a') + END, '4096 bytes', 'path-too-long'),
    'a negative size': (member(b'a', size=b'\xff' * 11 + b'\0') + END, 'claims to have', 'tar-invalid'),
    'a PAX size that is none': (pax((b'size', b'-512')) + member(b'a') + END, 'malformed size', 'pax-value'),
    'a time of more than 64 bits': (header(b'a', mtime=b'\x80' + b'\xff' * 11) + END, '64 bits', 'tar-invalid'),
    'a zero byte in a PAX path': (pax((b'path', b'a\0b')) + member(b'a') + END, 'PAX record', 'tar-invalid'),
    'a damaged header': (member(b'a').replace(b'a', b'b', 1) + END, 'checksum', 'tar-invalid'),
    'a sparse directory': (pax((b'GNU.sparse.major', b'1')) + header(b'a', kind=b'5') + END, 'sparse file',
                           'tar-invalid'),
}
READ = {
    'a record taken back': (pax((b'path', b'')) + member(b'a') + END, b'a'),
    'two PAX headers': (pax((b'path', b'p')) + pax((b'uid', b'0')) + member(b'a') + END, b'a'),
    'a directory of negative size': (header(b'd', kind=b'5', size=b'\xff' * 12) + member(b'd/a') + END, b'd/a'),
    'a prefix of star': (member(b'a', star_prefix=b'p' * 131, atime=b'00000001000 ', trailer=b'tar\0') + END,
                         b'p' * 131 + b'/a'),
}


def image(directory: Path, tar: bytes) -> Path:
    """Write an OCI archive of one layer."""
    return write_tar(directory / 'odd.tar', Layout(config=config(**diff_ids(tar)), layers=[gzipped(tar)]).members())


@pytest.mark.parametrize('what', REFUSED)
def test_a_layer_that_programs_refuse_is_refused_and_fails_the_check(what: str, tmp_path: Path) -> None:
    tar, words, rule = REFUSED[what]
    archive = image(tmp_path, tar)
    for arguments in (['process', f'tar://{archive}', f'oci://{tmp_path}/bundle'], ['search', f'tar://{archive}', '*'],
                      ['process', f'tar://{archive}', f'dir://{tmp_path}/d', '-f', 'normalize-timestamps:ts=0'],
                      ['process', f'tar://{archive}', f'layout://{tmp_path}/L', '-f', 'normalize-timestamps:ts=0']):
        is_refused(run_here(*arguments), 'layer sha256:', words)
    assert [path.name for path in tmp_path.iterdir()] == ['odd.tar']
    found, = run_here('check', f'tar://{archive}', '-O', 'json').assert_code(1).json()['images']
    assert (rule, 'error') in {(each['rule'], each['level']) for each in found['findings']}


@pytest.mark.parametrize('time', [b'9223372036854775808', b'-9223372036854775809', b'9' * 5000, b'x'])
def test_a_time_that_docker_refuses_is_refused_where_it_is_needed(time: bytes, tmp_path: Path) -> None:
    archive = image(tmp_path, pax((b'mtime', time)) + member(b'a') + END)
    for arguments in (['process', f'tar://{archive}', f'oci://{tmp_path}/bundle'], ['search', f'tar://{archive}', '*']):
        is_refused(run_here(*arguments), 'layer sha256:', 'mtime')
    assert 'mtime' in run_here('check', f'tar://{archive}').assert_code(1).out
    archive = image(tmp_path, pax((b'atime', time)) + member(b'a') + END)
    assert "atime is '" in run_here('check', f'tar://{archive}').assert_code(1).out


def test_a_time_may_have_zeros_before_it(tmp_path: Path) -> None:
    archive = image(tmp_path, pax((b'mtime', b'0' * 5000 + b'7.5')) + member(b'a') + END)
    run_here('process', f'tar://{archive}', f'oci://{tmp_path}/bundle').assert_code(0)
    assert (tmp_path / 'bundle/rootfs/a').stat().st_mtime == 7.5


@pytest.mark.parametrize('field', ['mode', 'uid', 'gid', 'mtime', 'major', 'minor'])
def test_numbers_that_nobody_needs_fail_the_check(field: str, tmp_path: Path) -> None:
    odd = {field: b'00x0000\0'}
    long = member(b'long', b'name', kind=b'L', **odd) + member(b'n')
    for tar in (member(b'a') + header(b'b', kind=b'1', linkname=b'a', **odd) + END, long + END):
        done = run_here('check', f'tar://{image(tmp_path, tar)}').assert_code(1)
        assert 'tar-invalid' in done.out and '00x0000' in done.out


@pytest.mark.parametrize('what', READ)
def test_a_layer_that_docker_reads_is_unpacked(what: str, tmp_path: Path) -> None:
    tar, name = READ[what]
    archive = image(tmp_path, tar)
    run_here('process', '--verify=full', f'tar://{archive}', f'oci://{tmp_path}/bundle').assert_code(0)
    assert (tmp_path / 'bundle/rootfs' / name.decode()).read_bytes() == b'x'


def seconds_for(count: int, directory: Path) -> float:
    """Return the CPU time of checking a layer with an entry of so many records."""
    tar = pax(*((b'X.%d' % number, b'v') for number in range(count))) + member(b'a') + END
    archive, before = image(directory, tar), time.process_time()
    run_here('check', f'tar://{archive}').assert_code(0)
    return time.process_time() - before


def test_many_records_take_no_more_than_their_number(tmp_path: Path) -> None:
    seconds_for(10, tmp_path)
    few, many = (min(seconds_for(count, tmp_path) for _ in range(2)) for count in (5_000, 40_000))
    assert many < 24 * few  # quadratic: 64 times
