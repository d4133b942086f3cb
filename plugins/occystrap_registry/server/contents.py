"""The interface of what a registry serves, whatever stores it: handlers of reading requests know nothing else."""
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from occystrap_core.oci import Digest


class Contents(ABC):
    """Repositories with manifests, tags and blobs. Methods may be called by several threads, and raise OSError."""

    directory: str | None = None
    """The directory of the contents, if there is one."""

    def admits(self, path: str) -> bool:
        """Return whether requests for a path, such as `/v2/app/tags/list`, are admitted."""
        return True

    def at_hand(self) -> AbstractContextManager[bool]:
        """Yield whether manifests and sizes of blobs can be read from small local files, without any other waiting,
        while the with block runs."""
        return nullcontext(False)

    @abstractmethod
    def try_out(self) -> None:
        """Raise OSError, for example for a full disk, or ServiceUnavailable if the contents cannot be used."""

    @abstractmethod
    def blob_size(self, repository: str, digest: Digest) -> int:
        """Return the size in bytes of a repository's blob; raises Problem 404 BLOB_UNKNOWN."""

    @abstractmethod
    def open_blob(self, repository: str, digest: Digest) -> BinaryIO:
        """Return a repository's blob, open for reading; raises Problem 404 BLOB_UNKNOWN."""

    @abstractmethod
    def manifest(self, repository: str, reference: Digest | str) -> tuple[Digest, str, bytes]:
        """Return digest, media type and bytes by digest or tag; raises Problem 404 MANIFEST_UNKNOWN."""

    @abstractmethod
    def referrers(self, repository: str, subject: Digest) -> list[Digest]:
        """Return the manifests of a repository that refer to another, ordered by digest."""

    @abstractmethod
    def tags(self, repository: str) -> list[str]:
        """Return a repository's tags in order; raises Problem 404 NAME_UNKNOWN."""

    @abstractmethod
    def repositories(self) -> Iterable[str]:
        """Return the names of all repositories, in any order."""
