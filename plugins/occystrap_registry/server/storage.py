"""Manifests, tags and referrers on disk, one small file each, beside the blobs of their repositories."""
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from occystrap_core import InvalidImage
from occystrap_core.oci import Digest
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage_files import DamagedFile, read_file
from occystrap_registry.server.stored_blobs import StoredBlobs, known_path, no_blob

_SMALL = 512
"""The largest file of a tag or of a manifest's media type, in bytes."""
_MEDIA_TYPE = re.compile('[!-~]([ -~]*[!-~])?')
_MARK = re.compile(r'(sha256|sha512)-([0-9a-f]+)')


class PushedManifest(NamedTuple):
    """A manifest as pushed by a client: valid in itself, but its parts may be missing."""

    digest: Digest
    raw: bytes
    media_type: str
    blobs: Sequence[Digest] = ()
    manifests: Sequence[Digest] = ()
    subject: Digest | None = None
    """The manifest that it refers to, which need not exist."""
    tags: Sequence[str] = ()
    size: int = 0
    """Bytes of its layers, as it says."""


class Storage(StoredBlobs):
    """A directory of repositories, each an OCI layout whose blobs are links to those in a common pool.

    Beside the blobs `repositories/<name>/_manifests/<digest>` has the media type of a manifest, `…/_tags/<tag>` a
    digest, and `…/_referrers/<digest>/<digest>` records a referrer; digests are written with a dash.
    """

    def __init__(self, root: Path, durable: bool = False, read_only: bool = False) -> None:
        """Make what is missing, as `StoredBlobs` does; raises OSError."""
        super().__init__(root, durable, read_only)
        self._locks = [threading.Lock() for _ in range(64)]

    def delete_blob(self, repository: str, digest: Digest) -> None:
        """Remove a blob from a repository; raises Problem 404, 405 for a manifest. Other repositories keep theirs."""
        if self.has_manifest(repository, digest):
            raise Problem(405, 'UNSUPPORTED', f'{digest} is a manifest: delete it as one')
        try:
            self.files.remove(self._linked(repository, digest))
        except FileNotFoundError:
            raise no_blob(repository, digest) from None

    def add_manifest(self, repository: str, manifest: PushedManifest) -> None:
        """Store a manifest, and set its tags; raises Problem 400 MANIFEST_BLOB_UNKNOWN if a part is missing.

        A manifest exists when its file in `_manifests` does: its blob and subject are written before that, its tags
        after.
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
        """Return the manifests of a repository that refer to another, ordered by digest."""
        return [digest for digest in _marked(self._referrers(repository, subject))
                if self.has_manifest(repository, digest)]

    def forget_referrers(self, repository: str) -> None:
        """Remove the records of referrers that are gone, with directories that this leaves empty."""
        directory = self.repositories_directory / repository / '_referrers'
        for subject in _marked(directory):
            with suppress(NotADirectoryError, IsADirectoryError), self.changing(repository):  # not ours
                for digest in _marked(marks := self._referrers(repository, subject)):
                    if not self._manifest(repository, digest).exists():
                        (marks / _mark(digest)).unlink()
                if not _names(marks):
                    marks.rmdir()

    def manifest(self, repository: str, reference: Digest | str) -> tuple[Digest, str, bytes]:
        """Return digest, media type and bytes by digest or tag; raises Problem 404 MANIFEST_UNKNOWN.

        The manifest is then kept for a while, since the client may pull what it names, even if its tag is moved.
        """
        try:
            if isinstance(reference, Digest):
                return reference, *self._told(repository, reference)
            return self._tagged_manifest(repository, reference)
        except FileNotFoundError:
            raise _unknown(repository, reference) from None

    def _tagged_manifest(self, repository: str, tag: str) -> tuple[Digest, str, bytes]:
        """Return what a tag means, also if it is moved, and its manifest deleted, while this is looked up."""
        digest = self.tagged(repository, tag)
        while True:
            try:
                return digest, *self._told(repository, digest)
            except FileNotFoundError:
                if (now := self.tagged(repository, tag)) == digest:
                    raise
                digest = now

    def _told(self, repository: str, digest: Digest) -> tuple[str, bytes]:
        self.has_manifest(repository, digest)
        return self.read_manifest(repository, digest)

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
        """Return whether a repository has a manifest, which is then kept for a while, even without a tag."""
        return self._renewed(self._manifest(repository, digest)) is not None

    def manifests(self, repository: str) -> list[Digest]:
        """Return all manifests of a repository, ordered by digest."""
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
        """Yield the tags of a repository in order, with their digests; none of one that has no manifest."""
        for tag in self._tag_names(repository):
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
        if not (self.repositories_directory / repository / '_manifests').is_dir():
            raise Problem(404, 'NAME_UNKNOWN', f'there is no repository {repository}')
        return self._tag_names(repository)

    def _tag_names(self, repository: str) -> list[str]:
        return _names(self.repositories_directory / repository / '_tags')

    def repositories(self) -> Iterator[str]:
        """Yield the names of all repositories that have a manifest."""
        return self._with('_manifests')

    def repositories_with_blobs(self) -> Iterator[str]:
        """Yield the names of all repositories to which anything was pushed, perhaps only a blob without an image."""
        return self._with('_layout')

    def _with(self, name: str) -> Iterator[str]:
        pending = [self.repositories_directory]
        while pending:
            for entry in os.scandir(pending.pop()):
                if entry.name == name:
                    yield str(Path(entry.path).parent.relative_to(self.repositories_directory))
                elif not entry.name.startswith('_') and entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))

    def remove_untagged(self, repository: str, digest: Digest, grace: float) -> bool:
        """Remove a manifest as `remove_if_old` removes a blob; tagging it meanwhile makes its file new."""
        with self.changing(repository):
            return self.remove_if_old(self._manifest(repository, digest), grace)

    def changing(self, repository: str) -> threading.Lock:
        """Return the lock to hold while changing manifests and tags of a repository; some repositories share one."""
        return self._locks[hash(repository) % len(self._locks)]

    def _manifest(self, repository: str, digest: Digest) -> Path:
        return known_path(f'{self._repositories}/{repository}/_manifests/{_mark(digest)}')

    def _referrers(self, repository: str, subject: Digest) -> Path:
        return self.repositories_directory / repository / '_referrers' / _mark(subject)

    def _tag(self, repository: str, tag: str) -> Path:
        return known_path(f'{self._repositories}/{repository}/_tags/{tag}')


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
    """Return the digests in the names of a directory's files, in order."""
    found = list[Digest]()
    for each in map(_MARK.fullmatch, _names(directory)):
        with suppress(InvalidImage):  # not a file of ours
            found += [Digest(f'{each[1]}:{each[2]}')] if each else []
    return found
