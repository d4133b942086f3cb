"""The JSON documents of an export, by their digests, and the way from an image's ID to its config."""
from collections.abc import Iterator, Sequence
from typing import Any

from occystrap_core import InvalidImage
from occystrap_core.oci import Digest, ImageConfig, Manifest, parse_object

_TOTAL_CAP = 16 << 20


class Documents:
    """Small documents of one image; what exceeds the cap in all is no config and is left out."""

    def __init__(self) -> None:
        self._raw: dict[Digest, bytes] = {}
        self._total = 0

    def add(self, raw: bytes) -> None:
        """Keep a document under its true digest, whatever its name was."""
        self._total += len(raw)
        if self._total <= _TOTAL_CAP:
            self._raw[Digest.of(raw)] = raw

    def config(self, image_id: Digest, diff_ids: Sequence[Digest]) -> ImageConfig | None:
        """Return the config with these layers that the ID names: itself, by a manifest, or by an index and a manifest.

        None while it is not there. Raises InvalidImage when the ID is that of a config with other layers.
        """
        for digest in self._named_by(image_id):
            config = ImageConfig.parse(self._raw[digest])
            if config.diff_ids == tuple(diff_ids):
                return config
            if digest == image_id:
                raise InvalidImage(f'the config {image_id} lists other layers than the daemon says the image has')
        return None

    def images(self, image_id: Digest) -> Iterator[tuple[Manifest, ImageConfig]]:
        """Yield the images below a manifest or an index whose documents are all here, each a platform's."""
        for digest, document in self._below(image_id):
            config = document.get('config')
            raw = self._raw.get(Digest(config['digest'])) if isinstance(config, dict) and 'digest' in config else None
            if raw is not None and 'layers' in document and 'rootfs' in parse_object(raw, 'a config'):
                yield Manifest.parse(self._raw[digest]), ImageConfig.parse(raw)

    def _named_by(self, image_id: Digest) -> Iterator[Digest]:
        """Yield the configs that can be reached from a document."""
        return (digest for digest, document in self._below(image_id) if 'rootfs' in document)

    def _below(self, image_id: Digest) -> Iterator[tuple[Digest, dict[str, Any]]]:
        """Yield the documents that can be reached from one, beginning with it."""
        todo, seen = [image_id], set[Digest]()
        while todo:
            digest = todo.pop(0)
            if digest in seen or digest not in self._raw:
                continue
            seen.add(digest)
            document = parse_object(self._raw[digest], f'document {digest}')
            yield digest, document
            manifests = document.get('manifests')
            entries = [document.get('config'), *(manifests if isinstance(manifests, list) else [])]
            todo += [Digest(entry['digest']) for entry in entries if isinstance(entry, dict) and 'digest' in entry]
