"""The layers and documents of a push, compared with what the daemon reports of the image."""
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from occystrap_core import InvalidImage, Layer
from occystrap_core.files import ByteStream, DigestMismatch, Readable, detect_compression, inflate
from occystrap_core.oci import (
    CONFIG_CAP, Descriptor, Digest, ImageConfig, Index, Manifest, media_types, parse_manifest_or_index,
)
from occystrap_core.tar import StoredLayer
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.export.documents import Documents
from occystrap_docker.push.session import PushSession
from occystrap_docker.push.storage import Blob


class PushContents:
    """The layers and the metadata of one image in a push."""

    def __init__(self, session: PushSession, facts: ImageFacts, image: str, check: Callable[[int], None]) -> None:
        """`image` names it in errors; `check` is called as bytes are read, and raises to cancel."""
        self._session, self._facts, self._image, self._check = session, facts, image, check
        self._documents = Documents()
        self._diff_ids: dict[Digest, Digest] = {}
        self._left_out: dict[Digest, Layer] = {}
        self.platforms: tuple[str, ...] = ()
        """After `metadata`: those of the images that were pushed, if there are several."""

    def layers(self) -> Iterator[Layer]:
        """Yield each layer of the image as it arrives, a duplicate once.

        A layer's tar is hashed first, to find its diff_id. Blobs that are not layers of this image, such as those of
        other platforms, are skipped.
        """
        for blob in self._session.blobs():
            if document := _document(blob):
                self._documents.add(document)
                continue
            layer = self._layer(blob)
            if layer and layer.diff_id not in self._diff_ids.values():
                yield layer
            if layer and layer.diff_id:
                self._diff_ids[blob.digest] = layer.diff_id

    def metadata(self) -> tuple[ImageConfig, Manifest]:
        """Return config and manifest, after the end of the push.

        Raises InvalidImage unless the image's ID leads to the config, the tag to its manifest, and its layers are those
        that arrived, in the order that the daemon reported before.
        """
        manifests = list(self._manifests())
        for each in manifests:
            self._documents.add(each.raw)
        config = self._documents.config(self._facts.root, self._facts.diff_ids, self._facts.platform)
        manifest = next((each for each in manifests if config and each.config.digest == config.digest), None)
        if config is None or manifest is None:
            raise InvalidImage(f'the daemon pushed {self._image} without the config or the manifest of '
                               f'{self._facts.id}')
        self._check_layers(manifest)
        return config, manifest

    def left_out(self) -> Iterator[Layer]:
        """Yield the layers that were not pushed because the destination has them; known after `metadata`."""
        yield from self._left_out.values()

    def _layer(self, blob: Blob) -> Layer | None:
        what = f'layer {blob.digest} of {self._image}'
        with ByteStream(inflate(_opened(blob.path), what), what=what) as tar:
            tar.observe(self._check)
            diff_id = tar.drain()
        if diff_id not in self._facts.diff_ids:
            return None
        return StoredLayer(self._facts.diff_ids.index(diff_id), _descriptor(blob), diff_id,
                           lambda: _opened(blob.path), lambda: tar.size)

    def _manifests(self) -> Iterator[Manifest]:
        """Yield the tagged manifest, or the pushed ones of a tagged index, which is kept as a document."""
        raw = self._session.manifest()
        if raw is None:
            raise InvalidImage(f'the daemon did not push a manifest of {self._image}')
        tagged = parse_manifest_or_index(raw)
        if isinstance(tagged, Manifest):
            yield tagged
            return
        self._documents.add(tagged.raw)
        children = list(self._children(tagged))
        named = [str(entry.platform) for entry, _ in children if entry.platform and entry.platform.os != 'unknown']
        self.platforms = tuple(named) if len(named) > 1 else ()
        yield from (child for _, child in children)

    def _children(self, index: Index) -> Iterator[tuple[Descriptor, Manifest]]:
        """Yield the manifests of an index that were pushed, with their entries; those of attestations have no known
        platform."""
        for entry in index.manifests:
            raw = self._session.manifest(entry.digest)
            if raw is not None and isinstance(child := parse_manifest_or_index(raw), Manifest):
                yield entry, child

    def _check_layers(self, manifest: Manifest) -> None:
        for index, (layer, diff_id) in enumerate(zip(manifest.layers, self._facts.diff_ids)):
            if self._session.is_left_out(layer.digest):
                self._diff_ids[layer.digest] = diff_id
                self._left_out[diff_id] = StoredLayer(index, layer, diff_id, partial(_gone, layer))
        for layer in manifest.layers:
            if layer.digest not in self._diff_ids:
                raise InvalidImage(f'the daemon pushed {self._image} without its layer {layer.digest}')
        found = tuple(self._diff_ids[layer.digest] for layer in manifest.layers)
        if found != self._facts.diff_ids:
            raise DigestMismatch(f'the manifest that the daemon pushed of {self._image} lists other layers than it '
                                 'reported before')


def _document(blob: Blob) -> bytes | None:
    """Return the content of a blob that is small JSON, else None; a tar may begin with { as well, but not end so."""
    with open(blob.path, 'rb') as file:
        if blob.path.stat().st_size > CONFIG_CAP or file.peek(1)[:1] != b'{':
            return None
        raw = file.read()
    return raw if raw.rstrip().endswith(b'}') else None


def _gone(layer: Descriptor) -> Readable:
    raise InvalidImage(f'layer {layer.digest} was not pushed, as the destination had it, and was removed there since: '
                       'try again')


def _opened(path: Path) -> Readable:
    return open(path, 'rb', buffering=0)


def _descriptor(blob: Blob) -> Descriptor:
    with open(blob.path, 'rb') as file:
        media_type = media_types.layer_media_type(media_types.OCI_MANIFEST, detect_compression(file.read(4)))
    return Descriptor(media_type, blob.digest, blob.path.stat().st_size)
