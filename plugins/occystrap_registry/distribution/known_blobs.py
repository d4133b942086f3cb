"""Which repositories of a registry are known to hold a blob: from there it can be mounted instead of being sent."""
import threading
from collections import defaultdict
from collections.abc import Iterable

from occystrap_core import Settings
from occystrap_core.oci import Digest


class KnownBlobs:
    """What a run has seen on one host, of sources and destinations alike."""

    def __init__(self) -> None:
        self._repositories: defaultdict[Digest, dict[str, None]] = defaultdict(dict)
        self._lock = threading.Lock()

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'KnownBlobs':
        """Return what the run knows of `host[:port]`."""
        return settings.shared.get((KnownBlobs, host), KnownBlobs)

    def add(self, repository: str, digests: Iterable[Digest]) -> None:
        """Take note that the repository has these blobs."""
        with self._lock:
            for digest in digests:
                self._repositories[digest][repository] = None

    def elsewhere(self, repository: str, digest: Digest) -> str | None:
        """Return another repository with the blob, the one that had it first; None without one."""
        with self._lock:
            return next((each for each in self._repositories.get(digest, ()) if each != repository), None)
