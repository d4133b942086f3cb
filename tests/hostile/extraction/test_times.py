"""Times that no file system holds: set to the nearest that it can, with a line that says so, and verified."""
import pytest

from tests.hostile.extraction.ground import Ground
from tests.hostile.extraction.stacks import directory, file, symlink

TIMES = {'year 1': -62135596800, 'year 1900': -2208988800, 'year 9999': 253402300799, 'least': -(1 << 63),
         'most': (1 << 63) - 1}


@pytest.mark.parametrize('name', TIMES)
def test_a_time_beyond_what_can_be_held_is_the_nearest_that_can(ground: Ground, name: str) -> None:
    time = TIMES[name]
    done = ground.extract((file('a', b'a', mtime=time), directory('d', mtime=time), symlink('s', 'a', mtime=time)),
                          arguments=('--verify=full',))
    found = done.tree
    is_held = found['a'].mtime == max(-(1 << 62), min(time, 1 << 62))  # as in memory, where CI has its files
    assert ('3 times that the file system cannot store' in done.result.err) is not is_held, str(done.result)
    limit = found['a'].mtime
    assert limit == found['d'].mtime == found['s'].mtime
    assert (limit <= -(1 << 31)) if time < 0 else (limit >= (1 << 31) - 1)


@pytest.mark.parametrize('time', [-1, -(1 << 31), 0, 1, (1 << 31) - 1])
def test_times_that_all_file_systems_hold_are_kept_without_a_word(ground: Ground, time: int) -> None:
    done = ground.extract((file('a', b'a', mtime=time), directory('d', mtime=time)))
    assert done.tree['a'].mtime == done.tree['d'].mtime == time
    assert 'cannot store' not in done.result.err


def test_times_after_2262_are_kept_where_the_file_system_can(ground: Ground) -> None:
    done = ground.extract((file('a', b'a', mtime=9223372037),), arguments=('--verify=full',))
    assert ('cannot store' in done.result.err) == (done.tree['a'].mtime != 9223372037)


def test_nanoseconds_are_kept_and_verified(ground: Ground) -> None:
    done = ground.extract((file('a', b'a', pax={'mtime': b'1500000000.123456789'}),), arguments=('--verify=full',))
    assert round(done.tree['a'].mtime % 1, 6) in (0.123457, 0)
