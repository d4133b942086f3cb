"""Blobs that verification has found in a run, so that each repository is asked only once for each."""
import threading
from collections import defaultdict
from collections.abc import Callable

from occystrap_core import Settings
from occystrap_core.oci import Digest


class SeenBlobs:
    """Blobs of one host with the expected size, by repository and digest.

    Many images of a repository share layers. Another repository of the host proves nothing, since some registries store
    blobs for each.
    """

    def __init__(self) -> None:
        self._sizes: dict[tuple[str, Digest], int] = {}
        self._locks: defaultdict[tuple[str, Digest], threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'SeenBlobs':
        """Return the run's record of `host[:port]`."""
        return settings.shared.get((SeenBlobs, host), SeenBlobs)

    def size(self, repository: str, digest: Digest, expected: int, ask: Callable[[], int | None]) -> int | None:
        """Return the size in bytes that the registry reports; `ask` is called unless it is known. Raises what `ask`
        raises.

        Concurrent callers for one blob wait for each other. Only the expected size is kept.
        """
        key = repository, digest
        with self._lock:
            alone = self._locks[key]
        with alone:
            if self._sizes.get(key) == expected:
                return expected
            if (size := ask()) == expected:
                self._sizes[key] = expected
            return size
