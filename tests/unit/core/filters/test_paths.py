"""The filters exclude and allow: what goes, what stays, and hard links to what goes."""
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from occystrap_core.errors import UsageError
from tests.unit.core.filters.tars import contents, entry, hard, listed, tar_of, through

FORMATS = pytest.mark.parametrize('kind', [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
LONG = 'directory/' + 'long' * 40
TREE = [entry('etc', None), entry('etc/passwd', b'root'), entry('var', None), entry('var/cache', None),
        entry('var/cache/a.deb', b'deb' * 999), entry('var/cache/.wh.old', b''), entry('usr', None),
        entry('usr/a.pyc', b'pyc'), entry('usr/a.py', b'py'), entry('usr/link', 'a.pyc')]


def names(tar: bytes, *filters: str) -> list[str]:
    return list(contents(through(tar, *filters)))


def test_exclude() -> None:
    tar = tar_of(TREE)
    assert names(tar, 'exclude:pattern=*.pyc') == [info.name for info, _ in TREE if info.name != 'usr/a.pyc']
    assert names(tar, 'exclude:pattern=/var,*.py') == ['etc', 'etc/passwd', 'var/cache/.wh.old', 'usr', 'usr/a.pyc',
                                                       'usr/link']
    assert names(tar, 'exclude:pattern=cache/') == [info.name for info, _ in TREE if 'a.deb' not in info.name
                                                    and info.name != 'var/cache']


def test_allow() -> None:
    tar = tar_of(TREE)
    assert names(tar, 'allow:pattern=/etc') == ['etc', 'etc/passwd', 'var/cache/.wh.old']
    assert names(tar, 'allow:pattern=/usr/*.py') == ['var/cache/.wh.old', 'usr', 'usr/a.py']
    assert names(tar, 'allow:pattern=*.py') == ['etc', 'var', 'var/cache', 'var/cache/.wh.old', 'usr', 'usr/a.py']
    assert names(tar, 'allow:pattern=/var/**/*.deb,/etc/x') == [
        'etc', 'var', 'var/cache', 'var/cache/a.deb', 'var/cache/.wh.old']


@FORMATS
def test_nothing_excluded_is_the_same_bytes(kind: int) -> None:
    tar = tar_of([*TREE, entry(LONG, b'x'), hard('h', LONG)], kind)
    assert through(tar, 'exclude:pattern=nothing') == tar


@FORMATS
@pytest.mark.parametrize('target', ['gone', LONG])
@pytest.mark.parametrize('link', ['stays', 'stays/' + 'y' * 150])
def test_a_hard_link_to_what_goes_becomes_the_file(link: str, target: str, kind: int) -> None:
    content = b'content' * 99999
    entries = [entry(target, content, mode=0o640), entry('between', b'b'), hard(link, target, mode=0o640),
               hard('second', target), hard('third', link)]
    made = through(tar_of(entries, kind), f'exclude:pattern=/{target}')
    assert contents(made) == {'between': b'b', link: content, 'second': f'= {link}', 'third': f'= {link}'}
    assert len(listed(made)) == 4
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        assert archive.getmember(link).mode == 0o640


@FORMATS
def test_hard_links_over_links_that_go(kind: int) -> None:
    made = through(tar_of([entry('a', b'content'), hard('gone', 'a'), hard('c', 'gone')], kind), 'exclude:pattern=gone')
    assert contents(made) == {'a': b'content', 'c': '= a'}
    entries = [entry('gone1', b'content'), hard('gone2', './gone1'), hard('c', 'gone2'), hard('d', 'gone1')]
    made = through(tar_of(entries, kind), 'exclude:pattern=gone*')
    assert contents(made) == {'c': b'content', 'd': '= c'}


@FORMATS
@pytest.mark.parametrize('target', ['etc/x', LONG])
def test_hard_links_to_what_is_no_file(kind: int, target: str) -> None:
    entries = [entry('gone', target), hard('link', './gone'), hard('again', 'gone'),
               entry('gone.p', b'', tarfile.FIFOTYPE), hard('pipe', 'gone.p'),
               entry('gone.d', b'', tarfile.CHRTYPE, devmajor=1, devminor=3), hard('device', 'gone.d'),
               entry('z', b'z')]
    made = through(tar_of(entries, kind), 'exclude:pattern=gone*')
    assert contents(made) == {'link': f'-> {target}', 'again': '= link', 'pipe': None, 'device': None, 'z': b'z'}
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        device = archive.getmember('device')
        assert archive.getmember('pipe').isfifo()
        assert (device.type, device.devmajor, device.devminor) == (tarfile.CHRTYPE, 1, 3)


def test_attributes_go_with_the_file() -> None:
    attributes = {'SCHILY.xattr.security.capability': 'cap'}
    entries = [entry('gone', b'x', pax_headers=attributes), hard('stays', 'gone', pax_headers={'mtime': '7.5'})]
    with tarfile.open(fileobj=io.BytesIO(through(tar_of(entries), 'exclude:pattern=gone'))) as archive:
        found, = archive
    assert (found.name, found.type, found.mtime) == ('stays', tarfile.REGTYPE, 7.5)
    assert found.pax_headers['SCHILY.xattr.security.capability'] == 'cap'


def test_a_name_that_comes_again_is_what_links_mean() -> None:
    entries = [entry('gone', b'old'), hard('a', 'gone'), entry('gone', b'new'), hard('b', 'gone'), hard('c', 'a')]
    assert contents(through(tar_of(entries), 'exclude:pattern=gone')) == {'a': b'old', 'b': b'new', 'c': '= a'}


@pytest.mark.parametrize('kind', ['gnu', 'posix --sparse-version=0.0', 'posix --sparse-version=0.1',
                                  'posix --sparse-version=1.0'])
def test_sparse_files(kind: str, tmp_path: Path) -> None:
    with (tmp_path / 'gone').open('wb') as file:
        for place in range(0, 50 << 20, 2 << 20):
            file.seek(place)
            file.write(b'data')
    (tmp_path / 'stays').hardlink_to(tmp_path / 'gone')
    tar = subprocess.run(['tar', '-cS', *f'--format={kind}'.split(), '-C', tmp_path, 'gone', 'stays'],
                         check=True, capture_output=True).stdout
    assert through(tar, 'exclude:pattern=nothing') == tar
    made = through(tar, 'exclude:pattern=gone')
    out = tmp_path / 'out'
    out.mkdir()
    assert not subprocess.run(['tar', '-x', '-C', out], input=made, check=True, capture_output=True).stderr
    assert [path.name for path in out.iterdir()] == ['stays']
    assert (out / 'stays').read_bytes() == (tmp_path / 'gone').read_bytes()


def test_a_size_on_a_link_is_not_data() -> None:
    tar = bytearray(tar_of([entry('a', b'x'), hard('b', 'a'), entry('c', b'y')], tarfile.USTAR_FORMAT))
    assert tar[1024:1025] == b'b'
    tar[1024 + 124:1024 + 135] = b'00000001000'
    tar[1024 + 148:1024 + 156] = b' ' * 8
    tar[1024 + 148:1024 + 156] = b'%06o\0 ' % sum(tar[1024:1536])
    assert contents(through(bytes(tar), 'exclude:pattern=a')) == {'b': b'x', 'c': b'y'}


@pytest.mark.parametrize('text', ['exclude', 'allow', 'exclude:pattern=', 'exclude:pattern=[x', 'owner', 'owner:map=1',
                                  'owner:uid=1,map=0:1:1', 'owner:uid=-1', 'owner:map=0:0:5000000000'])
def test_options_that_say_nothing(text: str) -> None:
    with pytest.raises(UsageError):
        through(tar_of(TREE), text)
