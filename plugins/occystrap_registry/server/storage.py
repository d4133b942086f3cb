"""Blobs, manifests and tags on disk: an OCI layout per repository, whose blobs are links to those of a common pool."""
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from occystrap_core import InvalidImage
from occystrap_core.oci import BLOB_DIRECTORIES, Digest, blob_name
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage_files import (
    DamagedFile, StorageFiles, open_regular, read_file,
)

REPOSITORIES = 'repositories'
"""The directory of all repositories."""
GRACE = 3600.0
"""Seconds that a blob stays after it was pushed, mounted, or said to be there, though nothing names it."""
_RENEWED = GRACE / 6
"""Age in seconds from which on a blob's time is set anew."""
_SMALL = 512
"""Bytes that a tag or the media type of a manifest have at most."""
_MEDIA_TYPE = re.compile('[!-~]([ -~]*[!-~])?')
_MARK = re.compile(r'(sha256|sha512)-([0-9a-f]+)')


class PushedManifest(NamedTuple):
    """A manifest as a client pushes it: checked by itself, but not yet that its parts are there."""

    digest: Digest
    raw: bytes
    media_type: str
    blobs: Sequence[Digest] = ()
    manifests: Sequence[Digest] = ()
    subject: Digest | None = None
    """The manifest that it refers to, which need not be there."""
    tags: Sequence[str] = ()
    size: int = 0
    """Bytes of its layers, as it says."""


class Storage(Contents):
    """A directory of repositories.

    `blobs/<algorithm>/<hex>` is the pool of all content. `repositories/<name>/_layout/blobs/…` are links to what the
    repository has of it. `…/_manifests/<digest>` has the media type of a manifest, `…/_tags/<tag>` a digest, and
    `…/_referrers/<digest>/<digest>` notes a referrer; digests are written with a dash. Incomplete files are in
    `temporary/`.
    """

    def __init__(self, root: Path, durable: bool = False, read_only: bool = False) -> None:
        """Make what is missing, unless it is `read_only`; `durable` is for what has to survive a failure of power.

        Raises OSError.
        """
        self.files, self.directory = StorageFiles(root, durable), str(root)
        self.temporary = self.files.temporary
        self.repositories_directory = root / REPOSITORIES
        self._repositories = str(self.repositories_directory)
        self.read_only = read_only
        for directory in (*(root / name for name in BLOB_DIRECTORIES), self.repositories_directory, self.temporary):
            if not read_only:
                self.files.make_directory(directory)
        self.guard = threading.RLock()
        """Held while a blob is looked for, linked, touched or unlinked, so that what was said to be there stays."""
        self._locks = [threading.Lock() for _ in range(64)]

    largest = float('inf')
    """Limit of a blob in bytes."""

    @contextmanager
    def at_hand(self) -> Iterator[bool]:
        """Hold the guard while the block runs, unless another thread holds it; return whether it is held."""
        is_held = self.guard.acquire(blocking=False)
        try:
            yield is_held
        finally:
            if is_held:
                self.guard.release()

    def require_room(self, count: int) -> None:
        """Raise OSError if so many bytes more may not be written; here the disk is the only limit."""

    def try_out(self) -> None:
        """Raise OSError if nothing can be read here, or written where it may be."""
        os.stat(self.repositories_directory)
        if not self.read_only:
            self.files.write_incomplete(b'1').unlink()

    def blob(self, digest: Digest) -> Path:
        """Return the path for the content of `digest`, which need not exist."""
        return self.files.root / blob_name(digest)

    def layout(self, repository: str) -> Path:
        """Return the directory of a repository's OCI layout, which need not exist."""
        return self.repositories_directory / repository / '_layout'

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Return the size in bytes of a repository's blob, which stays for a while; raises Problem 404 BLOB_UNKNOWN."""
        size = self._kept_size(repository, digest)
        if size is None:
            raise Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest}')
        return size

    def open_blob(self, repository: str, digest: Digest) -> BinaryIO:
        """Return a repository's blob, open for reading; raises Problem 404 BLOB_UNKNOWN."""
        try:
            return open(open_regular(self._linked(repository, digest)), 'rb', buffering=0)
        except FileNotFoundError:
            raise Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest}') from None

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Return whether a repository has a blob, which then stays for a while."""
        return self._kept_size(repository, digest) is not None

    def add_blob(self, repository: str, digest: Digest, complete: Path) -> None:
        """Take over a complete file whose digest was checked."""
        self._take_over(repository, digest, complete)

    def _take_over(self, repository: str, digest: Digest, complete: Path) -> None:
        self.files.sync_content(complete)
        pool, linked = self.blob(digest), self._linked(repository, digest)
        self.files.make_directory(linked.parent)
        size = complete.stat().st_size
        for path in (pool, linked):
            self.files.mend(path, complete)
        with self.guard:
            for path in (pool, linked):
                _remove_damaged(path, size)
            self.files.link(complete, pool)
            complete.unlink()
            os.utime(pool)
            self.files.link(pool, linked)
        self.files.sync_names(pool.parent)
        self.files.sync_names(linked.parent)

    def mount_blob(self, repository: str, digest: Digest, origin: str | None) -> bool:
        """Add a blob of `origin`, None for any repository, to `repository`; return whether it is there."""
        linked = self._linked(repository, digest)
        self.files.make_directory(linked.parent)
        with self.guard:
            if origin is not None and not self.has_blob(origin, digest):
                return False
            try:
                self.files.link(self.blob(digest), linked)
            except FileNotFoundError:
                return False
            os.utime(linked)
        self.files.sync_names(linked.parent)
        return True

    def delete_blob(self, repository: str, digest: Digest) -> None:
        """Remove a blob from a repository; raises Problem 404, 405 for a manifest. Other repositories keep theirs."""
        if self.has_manifest(repository, digest):
            raise Problem(405, 'UNSUPPORTED', f'{digest} is a manifest: delete it as one')
        try:
            self.files.remove(self._linked(repository, digest))
        except FileNotFoundError:
            raise Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest}') from None

    def discard_blob(self, repository: str, digest: Digest) -> None:
        """Remove a blob from a repository and from the pool, which frees its room."""
        with self.guard:
            self._linked(repository, digest).unlink(missing_ok=True)
            self.blob(digest).unlink(missing_ok=True)

    def add_manifest(self, repository: str, manifest: PushedManifest) -> None:
        """Store a manifest, and set its tags to it; raises Problem 400 MANIFEST_BLOB_UNKNOWN if a part is missing.

        It is there when its mark is, and complete from then on: blob and subject come before, tags after.
        """
        missing = [digest for digest in manifest.blobs if not self.has_blob(repository, digest)] + [
            digest for digest in manifest.manifests if not self.has_manifest(repository, digest)]
        if missing:
            raise Problem(400, 'MANIFEST_BLOB_UNKNOWN', f'{repository} has no {missing[0]}')
        self._take_over(repository, manifest.digest, self.files.write_incomplete(manifest.raw))
        with self.changing(repository):
            if manifest.subject:
                self.has_manifest(repository, manifest.subject)
                self.files.write(self._referrers(repository, manifest.subject) / _mark(manifest.digest), b'')
            self.files.write(self._manifest(repository, manifest.digest), manifest.media_type.encode())
            for tag in manifest.tags:
                self.files.write(self._tag(repository, tag), manifest.digest.encode())

    def referrers(self, repository: str, subject: Digest) -> list[Digest]:
        """Return the manifests of a repository that refer to another, in order of their digests."""
        return [digest for digest in _marked(self._referrers(repository, subject))
                if self.has_manifest(repository, digest)]

    def manifest(self, repository: str, reference: Digest | str) -> tuple[Digest, str, bytes]:
        """Return digest, media type and bytes by digest or tag; raises Problem 404 MANIFEST_UNKNOWN."""
        try:
            digest = reference if isinstance(reference, Digest) else self.tagged(repository, reference)
            return digest, *self.read_manifest(repository, digest)
        except FileNotFoundError:
            raise _unknown(repository, reference) from None

    def read_manifest(self, repository: str, digest: Digest) -> tuple[str, bytes]:
        """Return media type and bytes of a manifest; raises FileNotFoundError, DamagedFile."""
        return self._media_type(repository, digest), read_file(self._linked(repository, digest))

    def _media_type(self, repository: str, digest: Digest) -> str:
        path = self._manifest(repository, digest)
        text = read_file(path, _SMALL).decode('latin-1')
        if not _MEDIA_TYPE.fullmatch(text):
            raise DamagedFile(path, f'the media type of {repository}@{digest} is damaged: push the image again')
        return text

    def has_manifest(self, repository: str, digest: Digest) -> bool:
        """Return whether a repository has a manifest, which then stays for a while, even without a tag."""
        return self._renewed(self._manifest(repository, digest)) is not None

    def manifests(self, repository: str) -> list[Digest]:
        """Return all manifests of a repository, in order."""
        return _marked(self.repositories_directory / repository / '_manifests')

    def stored_manifest(self, repository: str, digest: Digest) -> tuple[str, int] | None:
        """Return media type and size in bytes of a manifest, None if it is not there."""
        try:
            return self._media_type(repository, digest), self._linked(repository, digest).stat().st_size
        except FileNotFoundError:
            return None

    def tagged(self, repository: str, tag: str) -> Digest:
        """Return the digest of a tag; raises FileNotFoundError, DamagedFile."""
        path = self._tag(repository, tag)
        try:
            return Digest(read_file(path, _SMALL).decode('latin-1'))
        except InvalidImage:
            raise DamagedFile(path, f'the tag {repository}:{tag} is damaged: push it again, or delete it') from None

    def tag_digests(self, repository: str) -> Iterator[tuple[str, Digest]]:
        """Yield the tags of a repository in order, with their digests."""
        for tag in self.tags(repository):
            with suppress(FileNotFoundError):  # removed meanwhile
                yield tag, self.tagged(repository, tag)

    def delete_manifest(self, repository: str, reference: Digest | str) -> None:
        """Remove a tag, or a manifest with all tags that point at it; raises Problem 404."""
        with self.changing(repository):
            if not isinstance(reference, Digest):
                self._remove(repository, reference, self._tag(repository, reference))
                return
            if not self.has_manifest(repository, reference):
                raise _unknown(repository, reference)
            for tag, tagged in self.tag_digests(repository):
                if tagged == reference:
                    self.files.remove(self._tag(repository, tag))
            self._remove(repository, reference, self._manifest(repository, reference))

    def _remove(self, repository: str, reference: Digest | str, path: Path) -> None:
        try:
            self.files.remove(path)
        except FileNotFoundError:
            raise _unknown(repository, reference) from None

    def tags(self, repository: str) -> list[str]:
        """Return a repository's tags in order; raises Problem 404 NAME_UNKNOWN."""
        directory = self.repositories_directory / repository
        if not (directory / '_manifests').is_dir():
            raise Problem(404, 'NAME_UNKNOWN', f'there is no repository {repository}')
        return _names(directory / '_tags')

    def repositories(self) -> Iterator[str]:
        """Yield the names of all repositories that have a manifest."""
        return self._with('_manifests')

    def repositories_with_blobs(self) -> Iterator[str]:
        """Yield the names of all repositories that something was pushed to, be it a blob whose image never came."""
        return self._with('_layout')

    def _with(self, name: str) -> Iterator[str]:
        pending = [self.repositories_directory]
        while pending:
            for entry in os.scandir(pending.pop()):
                if entry.name == name:
                    yield str(Path(entry.path).parent.relative_to(self.repositories_directory))
                elif not entry.name.startswith('_') and entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))

    def remove_if_old(self, path: Path, grace: float, alone: bool = False) -> bool:
        """Remove a blob that nobody was told of for `grace` seconds, with `alone` only if it has no other name.

        Return whether it was removed.
        """
        with self.guard, suppress(FileNotFoundError):
            found = path.stat()
            if time.time() - found.st_mtime > grace and not (alone and found.st_nlink > 1):
                path.unlink()
                return True
        return False

    def remove_untagged(self, repository: str, digest: Digest, grace: float) -> bool:
        """Remove a manifest as `remove_if_old` does a blob; its mark is new if it got a tag meanwhile."""
        with self.changing(repository):
            return self.remove_if_old(self._manifest(repository, digest), grace)

    def changing(self, repository: str) -> threading.Lock:
        """Return the lock to be held while manifests and tags of a repository are changed; others may have it, too."""
        return self._locks[hash(repository) % len(self._locks)]

    def _kept_size(self, repository: str, digest: Digest) -> int | None:
        """Return the size of a repository's blob, None if it has none; whoever is told may rely on it for a while."""
        found = self._renewed(self._linked(repository, digest))
        return None if found is None else found.st_size

    def _renewed(self, path: Path) -> os.stat_result | None:
        """Return the status of a file that stays for a while from now on, None if it does not exist."""
        with self.guard:
            try:
                found = path.lstat()
                if not stat.S_ISREG(found.st_mode):
                    return None
                if time.time() - found.st_mtime > _RENEWED and not self.read_only:
                    os.utime(path)
            except FileNotFoundError:
                return None
        return found

    def _linked(self, repository: str, digest: Digest) -> Path:
        return _path(f'{self._repositories}/{repository}/_layout/{blob_name(digest)}')

    def _manifest(self, repository: str, digest: Digest) -> Path:
        return _path(f'{self._repositories}/{repository}/_manifests/{_mark(digest)}')

    def _referrers(self, repository: str, subject: Digest) -> Path:
        return self.repositories_directory / repository / '_referrers' / _mark(subject)

    def _tag(self, repository: str, tag: str) -> Path:
        return _path(f'{self._repositories}/{repository}/_tags/{tag}')


@lru_cache(2048)
def _path(text: str) -> Path:
    """Return a path; to make one takes as long as to open a file, and the same are asked for again and again."""
    return Path(text)


def _remove_damaged(path: Path, size: int) -> None:
    """Remove a blob that has another size than it must have, so that a push mends it; `mend` does the rest."""
    with suppress(FileNotFoundError):
        if path.stat().st_size != size:
            path.unlink()


def _unknown(repository: str, reference: Digest | str) -> Problem:
    return Problem(404, 'MANIFEST_UNKNOWN', f'{repository} has no manifest {reference}')


def _mark(digest: Digest) -> str:
    return digest.replace(':', '-')


def _names(directory: Path) -> list[str]:
    """Return what is in a directory, in order; nothing if there is none."""
    with suppress(FileNotFoundError):
        return sorted(os.listdir(directory))
    return []


def _marked(directory: Path) -> list[Digest]:
    """Return the digests that the names in a directory stand for, in order."""
    found = list[Digest]()
    for each in map(_MARK.fullmatch, _names(directory)):
        with suppress(InvalidImage):  # no mark of ours
            found += [Digest(f'{each[1]}:{each[2]}')] if each else []
    return found
