"""How distribution lays its storage folder out: blobs by digest, tags as links."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RegistryStorage:
    """The storage folder of a registry, running or not; may be read and damaged at any time."""

    root: Path

    def blob_path(self, digest: str) -> Path:
        """The file that holds the blob (a layer, a config or a manifest), whether it exists or not."""
        algorithm, _, encoded = digest.partition(':')
        return self._registry / 'blobs' / algorithm / encoded[:2] / encoded / 'data'

    def read_blob(self, digest: str) -> bytes:
        """The blob's bytes; for manifests and configs."""
        return self.blob_path(digest).read_bytes()

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
        """The digest that the tag names."""
        return self._tag_link(repository, tag).read_text()

    def move_tag(self, repository: str, tag: str, digest: str) -> None:
        """Lets the tag name another manifest."""
        self._tag_link(repository, tag).write_text(digest)

    @property
    def _registry(self) -> Path:
        return self.root / 'docker/registry/v2'

    def _tag_link(self, repository: str, tag: str) -> Path:
        return self._registry / 'repositories' / repository / '_manifests/tags' / tag / 'current/link'
