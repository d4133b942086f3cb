"""What a run knows of blobs: which repositories have one, so that it need not be sent, and whether it was read back."""
import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from occystrap_core import Settings
from occystrap_core.oci import Descriptor, Digest

_DENIALS = 3
"""If mounting from this many repositories was denied, the registry is assumed to allow no mounts."""


class KnownBlobs:
    """The blobs that a run has found on one host, at sources and destinations."""

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
        """Record that the run found a blob of this size in the repository."""
        self.add(repository, [descriptor.digest])
        with self._lock:
            self._there.add((repository, descriptor.digest, descriptor.size))

    def sent(self, repository: str, descriptor: Descriptor) -> None:
        """Record that the run sent a blob to the repository, or mounted it there."""
        self.found(repository, descriptor)
        with self._lock:
            self._sent.add((repository, descriptor.digest))

    def was_sent(self, repository: str, digest: Digest) -> bool:
        """Return whether `sent` was called for the blob."""
        return (repository, digest) in self._sent

    def is_there(self, repository: str, descriptor: Descriptor) -> bool:
        """Return whether `found` was called for the blob; only the verifier asks again."""
        return (repository, descriptor.digest, descriptor.size) in self._there

    def deny(self, repository: str) -> None:
        """Record that mounting from a repository was denied; after some denials nothing is mounted any more."""
        with self._lock:
            self._denied.add(repository)

    def elsewhere(self, repository: str, digest: Digest) -> str | None:
        """Return another repository with the blob, the first one recorded; None if there is none."""
        with self._lock:
            if len(self._denied) >= _DENIALS:
                return None
            others = (each for each in self._repositories.get(digest, ()) if each not in self._denied)
            return next((each for each in others if each != repository), None)


class ReadBlobs:
    """Which blobs of one host were read back. In this class none must be: the level of verification decides what is
    read.

    A proxy replaces it by a persistent one.
    """

    def keep(self, host: str, settings: Settings) -> None:
        """Use this object for `host[:port]` in all runs with these settings."""
        settings.shared.lasting.keep((ReadBlobs, host), self)

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'ReadBlobs':
        """Return the object for `host[:port]`."""
        return settings.shared.lasting.get((ReadBlobs, host), ReadBlobs)

    def is_due(self, repository: str, digest: Digest, was_sent: bool) -> bool:
        """Return whether a blob must be read at each level of verification; `was_sent`: the current run sent it."""
        return False

    def sends(self, repository: str, digest: Digest) -> int:
        """Return a counter that changes when a blob is sent; to be read before the blob is."""
        return 0

    def note_read(self, repository: str, digest: Digest, sends: int) -> None:
        """Record that a verifier has read an intact blob, unless it was sent since `sends` was read."""

    def sending(self, repository: str, digest: Digest) -> AbstractContextManager[object]:
        """Return a context for sending or mounting a blob; what is read before its end may be replaced."""
        return nullcontext()
