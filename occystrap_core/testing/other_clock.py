"""A clock that is ahead by years, for a whole process, to see whether what is written depends on the time.

`set_ahead` must be called before anything else is imported that could keep a function of these modules by its name.
"""
import datetime
import os
import time
from collections.abc import Callable
from typing import Any

AHEAD = 7 * 365 * 86400 + 12_345
"""Seconds: another year, month, day, hour, minute and second, also after rounding."""
_DATETIME = datetime.datetime


def set_ahead() -> None:
    """Let time and datetime be ahead from now on, and the times of files that are written from now on."""
    clock, clock_ns, strftime = time.time, time.time_ns, time.strftime
    start = clock()
    others: dict[Any, dict[str, Any]] = {
        time: {'time': lambda: clock() + AHEAD, 'time_ns': lambda: clock_ns() + AHEAD * 10**9,
               'strftime': lambda form, *given: strftime(form, *given or (time.localtime(),)),
               **{name: _at(getattr(time, name), clock) for name in ('localtime', 'gmtime', 'ctime')}},
        datetime: {'datetime': _Datetime, 'date': _Date},
        os: {name: _status(getattr(os, name), start) for name in ('stat', 'lstat', 'fstat')}}
    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        able.update([other for name, other in others[os].items() if getattr(os, name) in able])
    for module, functions in others.items():
        for name, other in functions.items():
            setattr(module, name, other)


def _at(call: Callable[[float], object], clock: Callable[[], float]) -> Callable[..., object]:
    return lambda seconds=None: call(clock() + AHEAD if seconds is None else seconds)


def _status(call: Callable[..., os.stat_result], start: float) -> Callable[..., os.stat_result]:
    """Return a stat that has files of this process, by their times, written as late as the clock says."""
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
