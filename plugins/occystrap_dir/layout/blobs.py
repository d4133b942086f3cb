"""Writing blobs to a layout: under their digests, complete or not at all; existing blobs are checked before reuse."""
from occystrap_core import Evidence, Expectation, OutgoingLayer, WrittenLayer
from occystrap_core.files import written_through
from occystrap_core.oci import Descriptor, Digest, Index, Manifest, blob_name
from occystrap_dir.workspace.kept_blobs import LEAST, fill
from occystrap_dir.workspace.workspace import Workspace


class Blobs:
    """The blobs of one destination."""

    def __init__(self, workspace: Workspace, hashed: bool) -> None:
        """With `hashed` an existing blob is hashed before it is reused; otherwise name and size must match."""
        self._workspace, self._place, self._hashed = workspace, workspace.place, hashed

    def find(self, descriptor: Descriptor) -> WrittenLayer | None:
        """Return an existing blob, None if it is missing or damaged."""
        name = blob_name(descriptor.digest)
        if self._file_size(name) != descriptor.size:
            return None
        if not self._hashed:
            return WrittenLayer(name, descriptor.digest, descriptor.size, Evidence.DESCRIPTOR)
        size = self.size(descriptor.digest)
        return None if size is None else WrittenLayer(name, descriptor.digest, size, Evidence.STREAMED)

    def size(self, digest: Digest) -> int | None:
        """Return the size in bytes of an existing blob, None if it is missing or damaged.

        It is always hashed, since there is no expected size to compare with.
        """
        name = blob_name(digest)
        if self._file_size(name) is None:
            return None
        try:
            found, size = self._place.hash(name, digest.algorithm)
        except OSError:
            return None
        return size if found == digest else None

    def write(self, layer: OutgoingLayer) -> WrittenLayer:
        """Stream a blob to a temporary file and rename it by its digest; raises OutputError.

        A large one is continued if an earlier run was interrupted, and kept if this one is.
        """
        assert layer.descriptor
        if layer.descriptor.size < LEAST:
            return self._write_new(layer)
        digest = layer.descriptor.digest
        with self._workspace.growing(digest) as held:
            if held is None:
                return self._write_new(layer)
            written_through(held, lambda: fill(held, layer))
            held.complete()
            return WrittenLayer(self._publish(held.name, digest, layer.descriptor.size))

    def _write_new(self, layer: OutgoingLayer) -> WrittenLayer:
        with self._workspace.partial() as partial, layer.open() as stream:
            for chunk in stream.chunks():
                partial.write(chunk)
            partial.complete()
            return WrittenLayer(self._publish(partial.name, stream.digest, stream.size))

    def put(self, kind: str, raw: bytes, digest: Digest) -> Expectation:
        """Write a small blob unless it exists, byte for byte; return its expectation; raises OutputError."""
        if not self._has(blob_name(digest), raw):
            self._publish(self._workspace.write(raw), digest, len(raw))
        return Expectation(kind, blob_name(digest), digest, len(raw))

    def put_manifest(self, document: Manifest | Index) -> Expectation:
        """Write a manifest or an index; return its expectation; raises OutputError."""
        return self.put('index' if isinstance(document, Index) else 'manifest', document.raw, document.digest)

    def _publish(self, partial: str, digest: Digest, size: int) -> str:
        """Rename a blob by its digest, after noting that it must be removed or kept later if no image refers to it."""
        name = blob_name(digest)
        if size < LEAST:
            self._workspace.note([name])
        else:
            self._workspace.note_blob(digest)
        self._workspace.move(partial, name)
        return name

    def _has(self, name: str, raw: bytes) -> bool:
        try:
            return self._file_size(name) == len(raw) and self._place.read(name, len(raw)) == raw
        except OSError:
            return False

    def _file_size(self, name: str) -> int | None:
        """Return the size in bytes of a regular file, None if there is none."""
        try:
            return self._place.size(name)
        except OSError:
            return None
