"""Times that real archives have and file systems have not: Go's zero time, before 1901, after 2262."""
import json
from pathlib import Path

import pytest

from occystrap_core.oci import Digest
from tests.functional.checks.planting import patched, record
from tests.hostile.in_process import run_here
from tests.unit.core.filters.tars import entry, tar_of
from tests.unit.tar.archives import write_tar


def base256(seconds: int) -> bytes:
    """Return a header's field as GNU tar and Go write what octal digits cannot hold."""
    return bytes([255 if seconds < 0 else 128]) + (seconds % 2 ** 88).to_bytes(11, 'big')


ODD = {'zero time': -62135596800, 'before 1901': -(1 << 31) - 1, 'after 2262': 9223372037, 'the least': -(1 << 63),
       'year 9999': 253402300799}


def archive(path: Path, tar: bytes) -> Path:
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {}, 'history': [{'created_by': 'x'}],
                         'rootfs': {'type': 'layers', 'diff_ids': [Digest.of(tar)]}}).encode()
    document = json.dumps([{'Config': 'config.json', 'RepoTags': ['app:v1'], 'Layers': ['layer.tar']}]).encode()
    return write_tar(path, [('manifest.json', document), ('config.json', config), ('layer.tar', tar)])


def times_found(source: Path) -> list[str]:
    image, = json.loads(run_here('check', f'tar://{source}', '-O', 'json').assert_code(0).out)['images']
    assert {each['rule'] for each in image['findings']} <= {'entry-time'}
    return [each['path'] for each in image['findings']]


@pytest.mark.parametrize('pax', [False, True])
@pytest.mark.parametrize('name', ODD)
def test_a_time_that_no_file_system_has(name: str, pax: bool, tmp_path: Path) -> None:
    plain = tar_of([entry('a', b'x'), entry('b', b'y')])
    tar = record('mtime', str(ODD[name])) + plain if pax else patched('a', 136, base256(ODD[name]))(plain)
    source = archive(tmp_path / 'a.tar', tar)
    for number, filters in enumerate([[], ['-f', 'exclude:pattern=b'], ['-f', 'normalize-timestamps:ts=9']]):
        for target in (f'dir://{tmp_path}/{number}', f'oci://{tmp_path}/b{number}'):
            run_here('-q', 'process', '--verify=full', f'tar://{source}', target, *filters).assert_code(0)
    assert (tmp_path / 'b2/rootfs/a').stat().st_mtime == 9
    assert times_found(source) == ['a']
    assert run_here('search', f'tar://{source}', 'a', '-O', 'json').assert_code(0).out


@pytest.mark.parametrize('seconds', [0, 1 << 33, 9223372036])
def test_a_time_that_everybody_reads(seconds: int, tmp_path: Path) -> None:
    tar = patched('a', 136, base256(seconds))(tar_of([entry('a', b'x')]))
    assert times_found(archive(tmp_path / 'a.tar', tar)) == []
