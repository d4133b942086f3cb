"""Locks that record in which order threads take them: two that are taken in both orders can stop the program."""
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest


class LockOrder:
    """The order of all locks that code of this project makes while a test runs."""

    def __init__(self) -> None:
        self._after = defaultdict[RecordedLock, dict[RecordedLock, None]](dict)
        self._held = threading.local()

    def record(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace both kinds of locks until the test ends."""
        for kind in ('Lock', 'RLock'):
            monkeypatch.setattr(threading, kind, self._maker(getattr(threading, kind)))

    def _maker(self, make: Callable[[], Any]) -> Callable[[], Any]:
        def made() -> Any:
            caller = sys._getframe(1)
            name = str(caller.f_globals.get('__name__', ''))
            return RecordedLock(make(), f'{name}:{caller.f_lineno}', self) if name.startswith('occystrap') else make()
        return made

    @property
    def held(self) -> 'list[RecordedLock]':
        """The locks that the calling thread holds."""
        held: list[RecordedLock] = self._held.__dict__.setdefault('locks', [])
        return held

    def waits_for(self, lock: 'RecordedLock') -> None:
        """Record that the calling thread waits for a lock while it holds others."""
        for before in self.held:
            if lock not in self.held:
                self._after[before][lock] = None

    def circle(self) -> list[str]:
        """Return where the locks were made that were taken in a circle; nothing if there is none."""
        done: set[RecordedLock] = set()
        for lock in list(self._after):
            if found := self._circle(lock, [], done):
                return [each.name for each in found]
        return []

    def _circle(self, lock: 'RecordedLock', path: 'list[RecordedLock]', done: 'set[RecordedLock]',
                ) -> 'list[RecordedLock]':
        if lock in path:
            return [*path[path.index(lock):], lock]
        if lock in done:
            return []
        done.add(lock)
        for after in list(self._after.get(lock, ())):
            if found := self._circle(after, [*path, lock], done):
                return found
        return []


class RecordedLock:
    """A lock of either kind; `name` says where it was made."""

    def __init__(self, lock: Any, name: str, order: LockOrder) -> None:
        self.name, self._lock, self._order = name, lock, order

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; only a thread that waits without end can stop the program."""
        if blocking and timeout < 0:
            self._order.waits_for(self)
        taken: bool = self._lock.acquire(blocking, timeout)
        if taken:
            self._order.held.append(self)
        return taken

    def release(self) -> None:
        """Release it."""
        self._lock.release()
        if self in self._order.held:  # a plain lock may be released by another thread
            self._order.held.remove(self)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)
