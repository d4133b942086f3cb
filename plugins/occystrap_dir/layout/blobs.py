"""Putting blobs into a layout: under their digests, whole or not at all; what is there is checked before it counts."""
from occystrap_core import Evidence, Expectation, OutgoingLayer, WrittenLayer
from occystrap_core.oci import Descriptor, Digest, Index, Manifest, blob_name
from occystrap_dir.workspace.workspace import Workspace


class Blobs:
    """The blobs of one destination."""

    def __init__(self, workspace: Workspace, hashed: bool) -> None:
        """With `hashed` a blob that is there is read before it is trusted: else its name and size will do."""
        self._workspace, self._place, self._hashed = workspace, workspace.place, hashed

    def find(self, descriptor: Descriptor) -> WrittenLayer | None:
        """Return a blob that is there, None if it is not or damaged."""
        name = blob_name(descriptor.digest)
        if self._file_size(name) != descriptor.size:
            return None
        if not self._hashed:
            return WrittenLayer(name, descriptor.digest, descriptor.size, Evidence.DESCRIPTOR)
        size = self.size(descriptor.digest)
        return None if size is None else WrittenLayer(name, descriptor.digest, size, Evidence.STREAMED)

    def size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob that is there, None if it is not or damaged.

        It is always read: nobody has said how large it should be, and who asks believes the answer.
        """
        name = blob_name(digest)
        if self._file_size(name) is None:
            return None
        try:
            found, size = self._place.hash(name)
        except OSError:
            return None
        return size if found == digest else None

    def write(self, layer: OutgoingLayer) -> WrittenLayer:
        """Stream a blob to a temporary file and move it to the place that its digest gives; raises OutputError."""
        with self._workspace.partial() as partial, layer.open() as stream:
            for chunk in stream.chunks():
                partial.write(chunk)
            partial.complete()
            return WrittenLayer(self._placed(partial.name, stream.digest))

    def put(self, kind: str, raw: bytes) -> Expectation:
        """Write a small blob unless it is there, byte for byte; return what to expect of it; raises OutputError."""
        digest = Digest.of(raw)
        if not self._is_there(blob_name(digest), raw):
            self._placed(self._workspace.write(raw), digest)
        return Expectation(kind, blob_name(digest), digest, len(raw))

    def put_manifest(self, document: Manifest | Index) -> Expectation:
        """Write a manifest or an index."""
        return self.put('index' if isinstance(document, Index) else 'manifest', document.raw)

    def _placed(self, partial: str, digest: Digest) -> str:
        """Move a blob into its place, noted before, so that it goes should nothing name it in the end."""
        name = blob_name(digest)
        self._workspace.note([name])
        self._workspace.move(partial, name)
        return name

    def _is_there(self, name: str, raw: bytes) -> bool:
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
