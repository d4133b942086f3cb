"""The present state of a registry in numbers: for /metrics and for the status page."""
import os
from contextlib import suppress
from typing import NamedTuple

from starlette.datastructures import State


class DiskSpace(NamedTuple):
    """The file system of a storage, in bytes."""

    size: int
    free: int
    """Bytes that an unprivileged user may still write."""


class Figures(NamedTuple):
    """The numbers at one moment."""

    connections: int
    uploads: int
    """The number of unfinished uploads."""
    disk: DiskSpace | None
    """None if the contents have no directory, or its file system cannot be queried."""


def figures_of(state: State) -> Figures:
    """Return the numbers of a running application."""
    return Figures(state.callers.count, state.uploads.count if state.uploads else 0, _disk(state.storage.directory))


def _disk(directory: str | None) -> DiskSpace | None:
    if directory is not None:
        with suppress(OSError):
            found = os.statvfs(directory)
            return DiskSpace(found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail)
    return None
