"""How distribution lays its storage directory out: blobs by digest, tags as links."""

import json
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RegistryStorage:
    """The storage directory of a registry, running or not; may be read and damaged at any time."""

    root: Path

    def blob_path(self, digest: str) -> Path:
        """The file that holds the blob (a layer, a config or a manifest), whether it exists or not."""
        algorithm, _, encoded = digest.partition(':')
        return self._registry / 'blobs' / algorithm / encoded[:2] / encoded / 'data'

    def read_blob(self, digest: str) -> bytes:
        """The blob's bytes; for manifests and configs."""
        return self.blob_path(digest).read_bytes()

    def layers_of(self, repository: str, tag: str) -> list[str]:
        """The digests of an image's layers, the lowest first."""
        return [layer['digest'] for layer in json.loads(self.read_blob(self.tag_digest(repository, tag)))['layers']]

    def remove_blob(self, digest: str) -> None:
        """Deletes the blob's bytes behind the registry's back; its links stay."""
        self.blob_path(digest).unlink()

    def damage_blob(self, digest: str, offset: int = 0) -> None:
        """Flips one bit of the stored blob; its size stays."""
        with self.blob_path(digest).open('r+b') as blob:
            blob.seek(offset)
            byte = blob.read(1)
            blob.seek(offset)
            blob.write(bytes([byte[0] ^ 1]))

    def truncate_blob(self, digest: str, size: int) -> None:
        """Cuts the stored blob to `size` bytes."""
        with self.blob_path(digest).open('r+b') as blob:
            blob.truncate(size)

    def blobs(self) -> set[str]:
        """The digests of all blobs in the storage, manifests included."""
        return {f'{path.parts[-4]}:{path.parts[-2]}' for path in (self._registry / 'blobs').glob('*/*/*/data')}

    def tag_digest(self, repository: str, tag: str) -> str:
        """The digest that the tag names; the registry empties the link before it writes to it, which is waited for."""
        for _ in range(100):
            if digest := self._tag_link(repository, tag).read_text():
                return digest
            time.sleep(0.01)
        raise AssertionError(f'the registry left the link of {repository}:{tag} empty')

    def tags(self, repository: str) -> list[str]:
        """All tags of a repository, sorted."""
        return sorted(each.name for each in (self._repository(repository) / '_manifests/tags').iterdir())

    def move_tag(self, repository: str, tag: str, digest: str) -> None:
        """Lets the tag name another manifest."""
        self._tag_link(repository, tag).write_text(digest)

    def unlink_tag(self, repository: str, tag: str) -> None:
        """Makes the registry forget the tag; the manifest stays."""
        self._tag_link(repository, tag).unlink()

    def unlink_blob(self, repository: str, digest: str) -> None:
        """Makes the registry forget that the repository has the blob; other repositories keep it."""
        self._blob_link(repository, digest).unlink()

    def link_blob(self, repository: str, digest: str) -> None:
        """Makes the blob known in a repository."""
        _write_link(self._blob_link(repository, digest), digest)

    def link_manifest(self, repository: str, tag: str, digest: str) -> None:
        """Makes the manifest known in a repository, under a tag."""
        directory, encoded = self._repository(repository) / '_manifests', digest.replace(':', '/')
        _write_link(directory / 'revisions' / encoded / 'link', digest)
        _write_link(directory / 'tags' / tag / 'index' / encoded / 'link', digest)
        _write_link(self._tag_link(repository, tag), digest)

    @property
    def _registry(self) -> Path:
        return self.root / 'docker/registry/v2'

    def _repository(self, repository: str) -> Path:
        return self._registry / 'repositories' / repository

    def _tag_link(self, repository: str, tag: str) -> Path:
        return self._repository(repository) / '_manifests/tags' / tag / 'current/link'

    def _blob_link(self, repository: str, digest: str) -> Path:
        return self._repository(repository) / '_layers' / digest.replace(':', '/') / 'link'


def _write_link(path: Path, digest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(digest)
