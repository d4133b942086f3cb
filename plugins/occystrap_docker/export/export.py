"""An image in a daemon's export stream: finds layers and documents in every layout.

- Docker up to 24 (docker image spec v1.2): `<v1 id>/layer.tar`, identified by its hash only; duplicates are symlinks.
- Docker from 25 on: `blobs/sha256/<hex>`; containerd's store: the same, and layers may be compressed there.
- Podman: `<diff_id>.tar`; the names of the old layout are symlinks.
"""
import re
from collections.abc import Callable, Iterator

from occystrap_core import InvalidImage
from occystrap_core.files import ByteStream, ChunkedSource, DigestMismatch, detect_compression, inflate
from occystrap_core.oci import CONFIG_CAP, Compression, Digest, ImageConfig
from occystrap_core.tar import ReadObservers, TarLayer
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.export.documents import Contained, Documents, distance
from occystrap_docker.export.tar_stream import StreamedFile, TarStream

_BY_DIGEST = re.compile(r'(?:^|/)([0-9a-f]{64}(?:[0-9a-f]{64})?)(?:\.tar|\.json)?$')


class ArrivingLayer(TarLayer):
    """A layer of a stream: its tar can be opened once. When it is read to the end, its diff_id is known."""

    def __init__(self, file: StreamedFile, diff_id: Digest | None, learn: Callable[['ArrivingLayer', Digest], None],
                 ) -> None:
        """`learn` is called with the digest of the complete tar; it sets index and diff_id, or raises."""
        self.name = f'{diff_id} ({file.name})' if diff_id else file.name
        self.compressed = _is_compressed(file)
        super().__init__(-1, diff_id, lambda: file, None if self.compressed else file.size, self.name)
        self.opened = False
        self._file, self._report = file, learn

    def tar(self, observers: ReadObservers = ReadObservers()) -> ByteStream:
        """Open the tar; raises InvalidImage when it was opened before."""
        if self.opened:
            raise InvalidImage(f'layer {self.name} is part of a stream and can be read only once')
        self.opened = True
        source = inflate(self._file, f'layer {self.name}') if self.compressed else self._file
        stream = ByteStream(source, digest=self.diff_id, what=f'layer {self.name}')
        stream.observe(lambda count: self._report(self, stream.digest) if stream.ended else None)
        if observers.moved:
            stream.observe(observers.moved)
        return stream


class Export:
    """The layers and the config of one image in a daemon's export."""

    def __init__(self, source: ChunkedSource, facts: ImageFacts, image: str) -> None:
        """`image` names it in errors; for exports with layers of other images see `first_pass`."""
        self._tar = TarStream(source, f'the export of {image}')
        self._facts, self._image, self._blobs = facts, image, facts.blobs
        self._arrived: set[Digest] = set()
        self._unknown = 0
        self._documents = Documents()

    def layers(self) -> Iterator[ArrivingLayer]:
        """Yield each layer as it arrives, a duplicate once; keep the documents between them."""
        for file in self._tar.files():
            layer = self._layer(file)
            if layer is None:
                self._look_at(file)
                continue
            yield layer
            self._pass(layer)

    def config(self) -> ImageConfig:
        """Return the image's config from the documents read so far; raises InvalidImage if they lack it."""
        config = self._config()
        if config is None:
            raise InvalidImage(f'the daemon exported {self._image} without the config of {self._facts.id}')
        return config

    def find_config(self) -> ImageConfig:
        """Read up to the image's config and return it; raises InvalidImage if there is none."""
        for file in self._tar.files():
            self._look_at(file)
            config = self._config()
            if config and distance(config, self._facts.platform) == 0:
                return config
        return self.config()

    def images(self) -> list[Contained]:
        """Read everything and return the images of all platforms; `trouble` is the error of one that was skipped."""
        for file in self._tar.files():
            self._look_at(file)
        return list(self._documents.images(self._facts.id))

    @property
    def trouble(self) -> str:
        """The error of an invalid image that `images` skipped, empty if there was none."""
        return self._documents.trouble

    def check_complete(self) -> None:
        """Raise InvalidImage when layers are missing; a layer that was not read to its end counts for any of them."""
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
        """Record a layer that the caller has finished; an unread one without diff_id is read to determine it."""
        if layer.diff_id is None and not layer.opened:
            with layer.tar() as tar:
                tar.drain()
        if layer.diff_id:
            self._arrived.add(layer.diff_id)
        else:
            self._unknown += 1

    def _look_at(self, file: StreamedFile) -> None:
        if _digest_in(file.name) and file.size <= CONFIG_CAP and file.peek().startswith(b'{'):
            self._documents.add(b''.join(map(bytes, file.chunks())))  # the chunks share one buffer


def _is_compressed(file: StreamedFile) -> bool:
    return detect_compression(file.peek()) is not Compression.NONE


def _digest_in(name: str) -> Digest | None:
    match = _BY_DIGEST.search(name)
    return Digest.of_hex(match[1]) if match else None
