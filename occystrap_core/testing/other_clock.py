"""A clock that is ahead by years, for this process, to see whether what is written depends on the time."""
import datetime
import os
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

AHEAD = 7 * 365 * 86400 + 12_345
"""Seconds: another year, month, day, hour, minute and second, also after rounding."""
_DATETIME, _DATE = datetime.datetime, datetime.date


def set_clock_ahead(patches: pytest.MonkeyPatch) -> None:
    """Let time and datetime be ahead until the patches are undone, and the times of files written from now on.

    Also where a module has imported a function by its name.
    """
    found = _others(time.time())
    for name in ('supports_dir_fd', 'supports_fd', 'supports_follow_symlinks'):
        able = getattr(os, name)
        patches.setattr(os, name, {*able, *(other for original, other in found.items() if original in able)})
    others = {id(original): other for original, other in found.items()}
    for module in list(sys.modules.values()):
        if module is not sys.modules[__name__]:
            for name, value in list(getattr(module, '__dict__', {}).items()):
                if id(value) in others:
                    patches.setattr(module, name, others[id(value)])


def _others(start: float) -> dict[Any, Any]:
    """Return what replaces each function and class that tells the time."""
    clock, clock_ns, strftime = time.time, time.time_ns, time.strftime
    found: dict[Any, Any] = {
        clock: lambda: clock() + AHEAD,
        clock_ns: lambda: clock_ns() + AHEAD * 10**9,
        strftime: lambda form, *given: strftime(form, *given or (time.localtime(clock() + AHEAD),)),
        _DATETIME: _Datetime, _DATE: _Date}
    for at_second in (time.localtime, time.gmtime, time.ctime):
        found[at_second] = _at(cast(Callable[[float], object], at_second), clock)
    for status in (os.stat, os.lstat, os.fstat):
        found[status] = _status(cast(Callable[..., os.stat_result], status), start)
    return found


def _at(call: Callable[[float], object], clock: Callable[[], float]) -> Callable[..., object]:
    return lambda seconds=None: call(clock() + AHEAD if seconds is None else seconds)


def _status(call: Callable[..., os.stat_result], start: float) -> Callable[..., os.stat_result]:
    """Return a stat that has files of this run, by their times, written as late as the clock says."""
    def status(*arguments: Any, **named: Any) -> os.stat_result:
        found = call(*arguments, **named)
        if found.st_mtime < start - 1:  # the file system's clock may be a little behind
            return found
        seconds = {f'st_{name}time': getattr(found, f'st_{name}time') + AHEAD for name in 'amc'}
        nanoseconds = {f'st_{name}time_ns': getattr(found, f'st_{name}time_ns') + AHEAD * 10**9 for name in 'amc'}
        others = {name: getattr(found, name) for name in ('st_blksize', 'st_blocks', 'st_rdev')}
        return os.stat_result([*found[:7], *map(int, seconds.values())], {**others, **seconds, **nanoseconds})
    return status


class _Instances(type):
    """Has every datetime for an instance, whichever class made it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])


class _Datetime(datetime.datetime, metaclass=_Instances):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _DATETIME.now(tz) + datetime.timedelta(seconds=AHEAD)

    @classmethod
    def utcnow(cls) -> Any:
        return _DATETIME.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=AHEAD)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


class _Date(datetime.date, metaclass=_Instances):
    @classmethod
    def today(cls) -> Any:
        return _Datetime.now().date()
