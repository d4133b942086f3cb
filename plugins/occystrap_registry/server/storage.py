"""Blobs, manifests and tags on disk; each becomes visible by one rename of a complete, hashed file."""
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from occystrap_core.oci import BLOB_DIRECTORIES, Digest, blob_name
from occystrap_registry.server.problems import Problem


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


class Storage:
    """A directory of blobs, shared by repositories, each with marks for its own.

    `blobs/<algorithm>/<hex>` has the content; `repositories/<name>/_blobs|_manifests/<hex>` mark what a repository
    has, a manifest's mark contains its media type; `repositories/<name>/_tags/<tag>` contains a digest,
    `repositories/<name>/_referrers/<hex>/<hex>` marks the referrers of a manifest; `temporary/` has incomplete files.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.temporary = root / 'temporary'
        for directory in (*(root / name for name in BLOB_DIRECTORIES), self._repositories, self.temporary):
            directory.mkdir(parents=True, exist_ok=True)

    largest = float('inf')
    """Limit of a blob in bytes."""

    def admits(self, path: str) -> bool:
        """Return whether requests for a path, such as `/v2/app/tags/list`, are admitted."""
        return True

    def blob(self, digest: Digest) -> Path:
        """Return the path for the content of `digest`, which need not exist."""
        return self._root / blob_name(digest)

    def blob_of(self, repository: str, digest: Digest) -> Path:
        """Return the path of a repository's blob; raises Problem 404 BLOB_UNKNOWN."""
        path = self.blob(digest)
        if not self._mark(repository, '_blobs', digest.hex).exists() or not path.exists():
            raise Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest}')
        return path

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Return the size in bytes of a repository's blob; raises Problem 404 BLOB_UNKNOWN."""
        return self.blob_of(repository, digest).stat().st_size

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Return whether a repository has a blob."""
        return self._mark(repository, '_blobs', digest.hex).exists() and self.blob(digest).exists()

    def add_blob(self, repository: str, digest: Digest, complete: Path) -> None:
        """Take over a complete file whose digest was checked."""
        os.replace(complete, self.blob(digest))
        self._write(self._mark(repository, '_blobs', digest.hex), '')

    def mount_blob(self, repository: str, digest: Digest, origin: str | None) -> bool:
        """Add a blob of `origin`, None for any repository, to `repository`; return whether it is there."""
        if not (self.has_blob(origin, digest) if origin is not None else self.blob(digest).exists()):
            return False
        self._write(self._mark(repository, '_blobs', digest.hex), '')
        return True

    def delete_blob(self, repository: str, digest: Digest) -> None:
        """Remove a blob from a repository; raises Problem 404. The content is kept for other repositories."""
        self.blob_of(repository, digest)
        self._mark(repository, '_blobs', digest.hex).unlink()

    def add_manifest(self, repository: str, manifest: PushedManifest) -> None:
        """Store a manifest, and set its tags to it; raises Problem 400 MANIFEST_BLOB_UNKNOWN if a part is missing."""
        missing = [digest for digest in manifest.blobs if not self.has_blob(repository, digest)] + [
            digest for digest in manifest.manifests if not self.has_manifest(repository, digest)]
        if missing:
            raise Problem(400, 'MANIFEST_BLOB_UNKNOWN', f'{repository} has no {missing[0]}')
        complete = self.temporary / uuid.uuid4().hex
        complete.write_bytes(manifest.raw)
        os.replace(complete, self.blob(manifest.digest))
        if manifest.subject:
            self._write(self._mark(repository, f'_referrers/{manifest.subject.hex}', manifest.digest.hex), '')
        self._write(self._mark(repository, '_manifests', manifest.digest.hex), manifest.media_type)
        for tag in manifest.tags:
            self._write(self._mark(repository, '_tags', tag), manifest.digest)

    def referrers(self, repository: str, subject: Digest) -> list[Digest]:
        """Return the manifests of a repository that refer to another, in order of their digests."""
        names = sorted(path.name for path in (self._repositories / repository / '_referrers' / subject.hex).glob('*'))
        return [digest for digest in (Digest.of_hex(name) for name in names)
                if self.has_manifest(repository, digest)]

    def manifest(self, repository: str, reference: Digest | str) -> tuple[Digest, str, bytes]:
        """Return digest, media type and bytes by digest or tag; raises Problem 404 MANIFEST_UNKNOWN."""
        try:
            digest = reference if isinstance(reference, Digest) else self.tagged(repository, reference)
            media_type = self._mark(repository, '_manifests', digest.hex).read_text()
            return digest, media_type, self.blob(digest).read_bytes()
        except FileNotFoundError:
            raise Problem(404, 'MANIFEST_UNKNOWN', f'{repository} has no manifest {reference}') from None

    def has_manifest(self, repository: str, digest: Digest) -> bool:
        """Return whether a repository has a manifest."""
        return self._mark(repository, '_manifests', digest.hex).exists()

    def tagged(self, repository: str, tag: str) -> Digest:
        """Return the digest of a tag; raises FileNotFoundError."""
        return Digest(self._mark(repository, '_tags', tag).read_text())

    def delete_manifest(self, repository: str, reference: Digest | str) -> None:
        """Remove a tag, or a manifest with all tags that point at it; raises Problem 404."""
        digest = self.manifest(repository, reference)[0]
        if not isinstance(reference, Digest):
            self._mark(repository, '_tags', reference).unlink()
            return
        for tag in self.tags(repository):
            if self.tagged(repository, tag) == digest:
                self._mark(repository, '_tags', tag).unlink()
        self._mark(repository, '_manifests', digest.hex).unlink()

    def tags(self, repository: str) -> list[str]:
        """Return a repository's tags in order; raises Problem 404 NAME_UNKNOWN."""
        directory = self._repositories / repository
        if not (directory / '_manifests').is_dir():
            raise Problem(404, 'NAME_UNKNOWN', f'there is no repository {repository}')
        return sorted(path.name for path in directory.glob('_tags/*'))

    def repositories(self) -> Iterator[str]:
        """Yield the names of all repositories that have a manifest."""
        for directory in self._repositories.rglob('_manifests'):
            yield str(directory.parent.relative_to(self._repositories))

    @property
    def _repositories(self) -> Path:
        return self._root / 'repositories'

    def _mark(self, repository: str, kind: str, name: str) -> Path:
        return self._repositories / repository / kind / name

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        complete = self.temporary / uuid.uuid4().hex
        complete.write_text(text)
        os.replace(complete, path)
