"""What is known of blobs: which repositories have one, so that it need not be sent; and whether it was read back."""
import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from occystrap_core import Settings
from occystrap_core.oci import Descriptor, Digest

_DENIALS = 3
"""Repositories that nothing may be mounted from, after which the registry is taken to allow no mounts."""


class KnownBlobs:
    """The blobs that a run has found on one host, in sources and destinations."""

    def __init__(self) -> None:
        self._repositories: defaultdict[Digest, dict[str, None]] = defaultdict(dict)
        self._there = set[tuple[str, Digest, int]]()
        self._sent = set[tuple[str, Digest]]()
        self._denied = set[str]()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'KnownBlobs':
        """Return the run's record of `host[:port]`."""
        return settings.shared.get((KnownBlobs, host), KnownBlobs)

    def add(self, repository: str, digests: Iterable[Digest]) -> None:
        """Note that the repository has these blobs."""
        with self._lock:
            for digest in digests:
                self._repositories[digest][repository] = None

    def found(self, repository: str, descriptor: Descriptor) -> None:
        """Note that the run has found a blob in the repository with this size."""
        self.add(repository, [descriptor.digest])
        with self._lock:
            self._there.add((repository, descriptor.digest, descriptor.size))

    def sent(self, repository: str, descriptor: Descriptor) -> None:
        """Note that the run has sent a blob to the repository, or mounted it."""
        self.found(repository, descriptor)
        with self._lock:
            self._sent.add((repository, descriptor.digest))

    def was_sent(self, repository: str, digest: Digest) -> bool:
        """Return whether `sent` was called for it."""
        return (repository, digest) in self._sent

    def is_there(self, repository: str, descriptor: Descriptor) -> bool:
        """Return whether `found` was called for it: to ask again is for the verifier."""
        return (repository, descriptor.digest, descriptor.size) in self._there

    def deny(self, repository: str) -> None:
        """Note that nothing may be mounted from a repository; after some, nothing is from any."""
        with self._lock:
            self._denied.add(repository)

    def elsewhere(self, repository: str, digest: Digest) -> str | None:
        """Return another repository with the blob, the first one noted; None without one."""
        with self._lock:
            if len(self._denied) >= _DENIALS:
                return None
            others = (each for each in self._repositories.get(digest, ()) if each not in self._denied)
            return next((each for each in others if each != repository), None)


class ReadBlobs:
    """The blobs of one host that were read back. This one demands nothing: the level of verification says what is read.

    A proxy has another one, which lasts.
    """

    def keep(self, host: str, settings: Settings) -> None:
        """Have this be that of `host[:port]`, for all runs with these settings."""
        settings.shared.lasting.keep((ReadBlobs, host), self)

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'ReadBlobs':
        """Return that of `host[:port]`."""
        return settings.shared.lasting.get((ReadBlobs, host), ReadBlobs)

    def is_due(self, repository: str, digest: Digest, was_sent: bool) -> bool:
        """Return whether a blob has to be read at each level of verification; `was_sent`: by the run that asks."""
        return False

    def sends(self, repository: str, digest: Digest) -> int:
        """Return the number of this time, which changes when a blob is sent; to be asked for before it is read."""
        return 0

    def note_read(self, repository: str, digest: Digest, sends: int) -> None:
        """Note that a verifier has read a blob, and that it is whole, unless it was sent after `sends`."""

    def sending(self, repository: str, digest: Digest) -> AbstractContextManager[object]:
        """Return what a blob is sent or mounted within: whatever is read before the end may be replaced."""
        return nullcontext()
