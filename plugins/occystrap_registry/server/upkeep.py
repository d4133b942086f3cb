"""Background work of a registry: writing lists of layouts, and garbage collection, on a thread of its own."""
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from occystrap_registry.server.background_work import BackgroundWork
from occystrap_registry.server.garbage import Collected, Pool, collect, measure
from occystrap_registry.server.layout_index import refresh_layouts
from occystrap_registry.server.storage import Storage

_QUIET = 5.0
"""Least seconds between two searches for changed repositories."""
_SHARE = 10
"""Writing lists takes at most one second in this number of seconds."""
_COLLECTING = 3600.0
"""Seconds between two garbage collections."""


class UpkeepObserver(Protocol):
    """The interface of observers of a storage."""

    def add_collected(self, found: Collected) -> None:
        """Record what was removed."""

    def set_pool(self, pool: Pool) -> None:
        """Record what the storage has."""


class Upkeep(BackgroundWork):
    """Maintains a storage while the with block runs, and once more at its end."""

    def __init__(self, storage: Storage, untagged: bool, is_busy: Callable[[str], bool],
                 observer: UpkeepObserver | None = None) -> None:
        """`observer` is called with what was collected, and with what the storage then contains."""
        super().__init__('upkeep')
        self._storage, self._untagged, self._is_busy, self._observer = storage, untagged, is_busy, observer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        super().__exit__(kind, error, trace)
        self._try(self._refresh)

    def _run(self) -> None:
        self._try(self._measure)
        collected, pause = time.monotonic(), 0.0
        while not self._ending.wait(pause):
            begun = time.monotonic()
            self._try(self._refresh)
            pause = max(_QUIET, (time.monotonic() - begun) * _SHARE)
            if time.monotonic() - collected > _COLLECTING:
                self._try(self._collect)
                collected = time.monotonic()

    def _refresh(self) -> None:
        refresh_layouts(self._storage)

    def _collect(self) -> None:
        found = collect(self._storage, self._untagged, lambda name: self._ending.is_set() or self._is_busy(name))
        if self._observer:
            self._observer.add_collected(found)
        self._measure()

    def _measure(self) -> None:
        if self._observer:
            self._observer.set_pool(measure(self._storage))
