"""An image in a daemon's export stream: which file is a layer, which a document, in every layout that there is.

- Docker up to 24 (docker image spec v1.2): `<v1 id>/layer.tar`, told by its hash alone; doubles are symlinks.
- Docker from 25 on: `blobs/sha256/<hex>`; containerd's store: the same, and layers may be compressed there.
- Podman: `<diff_id>.tar`, the names of the old layout being symlinks.
"""
import re
from collections.abc import Callable, Iterator

from occystrap_core import InvalidImage
from occystrap_core.files import ByteStream, ChunkedSource, DigestMismatch, detect_compression, inflate
from occystrap_core.oci import MANIFEST_CAP, Compression, Digest, ImageConfig
from occystrap_core.tar import ReadObservers, TarLayer
from occystrap_docker.daemon.daemon import ImageFacts
from occystrap_docker.export.documents import Contained, Documents, distance
from occystrap_docker.export.tar_stream import StreamedFile, TarStream

_BY_DIGEST = re.compile(r'(?:^|/)([0-9a-f]{64})(?:\.tar|\.json)?$')


class ArrivingLayer(TarLayer):
    """A layer whose bytes are just passing: its tar can be opened once. Read to its end, it knows what it is."""

    def __init__(self, file: StreamedFile, diff_id: Digest | None, learn: Callable[['ArrivingLayer', Digest], None],
                 ) -> None:
        """`learn` is called with the digest of the whole tar and sets index and diff_id, or raises."""
        self.name = f'{diff_id} ({file.name})' if diff_id else file.name
        self.compressed = _is_compressed(file)
        super().__init__(-1, diff_id, lambda: file, None if self.compressed else file.size, self.name)
        self.opened = False
        self._file, self._tell = file, learn

    def tar(self, observers: ReadObservers = ReadObservers()) -> ByteStream:
        """Open the tar; raises InvalidImage when it was opened before."""
        if self.opened:
            raise InvalidImage(f'layer {self.name} comes in a stream and can be read only once')
        self.opened = True
        source = inflate(self._file, f'layer {self.name}') if self.compressed else self._file
        stream = ByteStream(source, digest=self.diff_id, what=f'layer {self.name}')
        stream.observe(lambda count: self._tell(self, stream.digest) if stream.ended else None)
        if observers.moved:
            stream.observe(observers.moved)
        return stream


class Export:
    """Sorts what a daemon exports of one image."""

    def __init__(self, source: ChunkedSource, facts: ImageFacts, image: str) -> None:
        """`image` names it in errors; where the export may have other layers, too, see `first_pass`."""
        self._tar = TarStream(source, f'the export of {image}')
        self._facts, self._image, self._blobs = facts, image, facts.blobs
        self._arrived: set[Digest] = set()
        self._unknown = 0
        self._documents = Documents()

    def layers(self) -> Iterator[ArrivingLayer]:
        """Yield each layer as it arrives, one that the image has twice once; keep the documents between them."""
        for file in self._tar.files():
            layer = self._layer(file)
            if layer is None:
                self._look_at(file)
                continue
            yield layer
            self._pass(layer)

    def config(self) -> ImageConfig:
        """Return the image's config from the documents so far; raises InvalidImage when it is not among them."""
        config = self._config()
        if config is None:
            raise InvalidImage(f'the daemon exported {self._image} without the config of {self._facts.id}')
        return config

    def find_config(self) -> ImageConfig:
        """Read no further than to the image's config and return it; raises InvalidImage without one."""
        for file in self._tar.files():
            self._look_at(file)
            config = self._config()
            if config and distance(config, self._facts.platform) == 0:
                return config
        return self.config()

    def images(self) -> list[Contained]:
        """Read all, and return what there is, for each platform; `trouble` tells of what was left out."""
        for file in self._tar.files():
            self._look_at(file)
        return list(self._documents.images(self._facts.id))

    @property
    def trouble(self) -> str:
        """What is wrong with an image that is not among `images`, empty if nothing is."""
        return self._documents.trouble

    def check_complete(self) -> None:
        """Raise InvalidImage when layers did not come; one that nobody read to its end may have been any of them."""
        missing = [diff_id for diff_id in dict.fromkeys(self._facts.diff_ids) if diff_id not in self._arrived]
        if len(missing) > self._unknown:
            raise InvalidImage(f'the daemon exported {self._image} without layer {", ".join(missing)}')

    def _config(self) -> ImageConfig | None:
        return self._documents.config(self._facts.root, self._facts.diff_ids, self._facts.platform)

    def _layer(self, file: StreamedFile) -> ArrivingLayer | None:
        digest = _digest_in(file.name)
        diff_id = self._blobs.get(digest) if self._blobs is not None and digest else digest
        if diff_id in self._facts.diff_ids:
            if diff_id in self._arrived:
                return None
            layer = ArrivingLayer(file, diff_id, self._learn)
            layer.index = self._facts.diff_ids.index(diff_id)
            return layer
        if self._blobs is not None:
            return None
        nameless = file.name.rpartition('/')[2] == 'layer.tar'
        if nameless or (digest and _is_compressed(file)):
            return ArrivingLayer(file, None, self._learn)
        return None

    def _learn(self, layer: ArrivingLayer, diff_id: Digest) -> None:
        if diff_id not in self._facts.diff_ids:
            raise DigestMismatch(f'layer {layer.name} of {self._image} has digest {diff_id}, which none of the '
                                 "image's layers has")
        layer.diff_id, layer.index = diff_id, self._facts.diff_ids.index(diff_id)
        self._arrived.add(diff_id)

    def _pass(self, layer: ArrivingLayer) -> None:
        """Note a layer that the caller is done with; one that it left alone is read if only that tells what it is."""
        if layer.diff_id is None and not layer.opened:
            with layer.tar() as tar:
                tar.drain()
        if layer.diff_id:
            self._arrived.add(layer.diff_id)
        else:
            self._unknown += 1

    def _look_at(self, file: StreamedFile) -> None:
        if _digest_in(file.name) and file.size <= MANIFEST_CAP and file.peek().startswith(b'{'):
            self._documents.add(b''.join(file.chunks()))


def _is_compressed(file: StreamedFile) -> bool:
    return detect_compression(file.peek()) is not Compression.NONE


def _digest_in(name: str) -> Digest | None:
    match = _BY_DIGEST.search(name)
    return Digest(f'sha256:{match[1]}') if match else None
