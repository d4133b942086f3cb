"""The blobs of a layout that is a source; their names are not trusted but checked."""
import io
import os
from collections.abc import Mapping
from functools import cached_property

from occystrap_core import BlobStore, ImageNotFound, InvalidImage
from occystrap_core.files import GZIP_END, SizeMismatch, inflated_size
from occystrap_core.oci import CONFIG_CAP, Descriptor, Digest, blob_name, left_out_by
from occystrap_core.tar import StoredLayer
from occystrap_dir.layout.index_file import read_source_index
from occystrap_dir.workspace.names import open_inside, read_document


class LayoutStore(BlobStore):
    """The blobs in `blobs/sha256` and `blobs/sha512`."""

    def __init__(self, root: str) -> None:
        self.root = self.place = root

    def small_blob(self, digest: Digest, what: str) -> bytes:
        """Read a document; its file may be a link."""
        try:
            return read_document(self.root, blob_name(digest), CONFIG_CAP, links=True)
        except (FileNotFoundError, NotADirectoryError):
            raise ImageNotFound(f'{what} {digest} is not in {self.root}') from None
        except OSError as error:
            raise InvalidImage(f'{self.root}: {what} {digest} cannot be read: {error.strerror}') from None

    def base(self, digest: Digest) -> str:
        """Return the name of an image that has a blob which the layout, a delta, leaves out."""
        is_here = os.path.exists(f'{self.root}/{blob_name(digest)}')
        return '' if is_here else self._left_out.get(digest, '')

    def blob(self, descriptor: Descriptor) -> io.FileIO:
        """Open a blob."""
        try:
            return io.FileIO(open_inside(self.root, blob_name(descriptor.digest)))
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(descriptor) from None
        except OSError as error:
            raise InvalidImage(f'{self.root}: blob {descriptor.digest} cannot be read: {error.strerror}',
                               'layer-invalid') from None

    def blob_size(self, descriptor: Descriptor) -> int:
        """Return the size of the file in bytes."""
        with self.blob(descriptor) as file:
            return os.fstat(file.fileno()).st_size

    def tar_size(self, descriptor: Descriptor) -> int | None:
        """Return the size that the last bytes of a gzip blob give."""
        if not descriptor.media_type.endswith('gzip') or descriptor.size < 18 or self.base(descriptor.digest):
            return None
        with self.blob(descriptor) as file:
            end = os.pread(file.fileno(), GZIP_END, max(0, descriptor.size - GZIP_END))
        return inflated_size(end, descriptor.size)

    def layer(self, index: int, descriptor: Descriptor, diff_id: Digest) -> StoredLayer:
        """Return a layer, its size checked unless it has urls or is left out: it may be missing then, which only
        reading it shows."""
        left_out = descriptor.urls or self.base(descriptor.digest)
        if not left_out and (size := self.blob_size(descriptor)) != descriptor.size:
            raise SizeMismatch(f'{self.root}: layer {descriptor.digest} has {size} bytes, expected '
                               f'{descriptor.size}', 'layer-size')
        return super().layer(index, descriptor, diff_id)

    @cached_property
    def _left_out(self) -> Mapping[Digest, str]:
        return left_out_by(read_source_index(self.root).manifests)

    def _missing(self, descriptor: Descriptor) -> ImageNotFound | InvalidImage:
        if base := self.base(descriptor.digest):
            return ImageNotFound(f'{self.root} is a delta: it leaves out {descriptor.digest}, which {base} has')
        if descriptor.urls:
            return InvalidImage(f'blob {descriptor.digest} is a foreign layer that is not in {self.root}: its urls are '
                                'not followed', 'layer-missing')
        return ImageNotFound(f'blob {descriptor.digest} is not in {self.root}', 'layer-missing')
