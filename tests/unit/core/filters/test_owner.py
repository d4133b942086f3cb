"""The filter owner: numbers small and large, in headers and records, by ranges."""
import io
import tarfile

import pytest

from occystrap_core.errors import InvalidImage
from tests.unit.core.filters.tars import entry, listed, tar_of, through

FORMATS = pytest.mark.parametrize('kind', [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


def owners(tar: bytes) -> list[tuple[int, int, str, str]]:
    assert listed(tar)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return [(member.uid, member.gid, member.uname, member.gname) for member in archive]


@FORMATS
@pytest.mark.parametrize('before', [0, 1000, 3_000_000, 4_000_000_000])
@pytest.mark.parametrize('after', [0, 1000, 3_000_000, 4_000_000_000])
def test_set(after: int, before: int, kind: int) -> None:
    tar = tar_of([entry('a', b'x', uid=before, gid=before, uname='me', gname='we'), entry('b', b'y')], kind)
    assert owners(through(tar, f'owner:uid={after},gid=7')) == [(after, 7, '', '')] * 2


@FORMATS
def test_one_alone(kind: int) -> None:
    assert owners(through(tar_of([entry('a', uid=5, gid=6)], kind), 'owner:gid=9')) == [(5, 9, '', '')]


@FORMATS
def test_ranges(kind: int) -> None:
    tar = tar_of([entry('a', uid=0, gid=5), entry('b', uid=65534, gid=1000)], kind)
    made = owners(through(tar, 'owner:map=0:100000:1000,1000:1:1,65534:7:1'))
    assert made == [(100000, 100005, '', ''), (7, 1, '', '')]
    with pytest.raises(InvalidImage, match='no range for 65534'):
        through(tar, 'owner:map=0:100000:1001')


def test_matching_owners_are_unchanged() -> None:
    tar = tar_of([entry('a', b'x')])
    assert through(tar, 'owner:uid=0,gid=0') == tar


def test_several_filters_in_one_pass() -> None:
    tar = tar_of([entry('gone', b'x', mtime=5), entry('a', b'y', mtime=5, uid=3)])
    made = through(tar, 'exclude:pattern=gone', 'owner:uid=1,gid=1', 'normalize-timestamps:ts=9')
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        assert [(member.name, member.uid, member.mtime) for member in archive] == [('a', 1, 9)]
    assert through(made, 'exclude:pattern=gone', 'owner:uid=1,gid=1', 'normalize-timestamps:ts=9') == made
