"""The filter `inspect`: records the layers of an image at its position in the chain."""
import json
from collections.abc import Mapping, Sequence
from typing import Any

from occystrap_core.api.image_filter import ImageFilter
from occystrap_core.errors import UsageError
from occystrap_core.files.stream import ByteStream
from occystrap_core.filters.report_file import STDOUT, append, checked_target
from occystrap_core.image.derived import DerivedImage, DerivedLayer
from occystrap_core.image.description import steps_of_layers
from occystrap_core.image.image import Image
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.settings import Settings


class Inspect(ImageFilter):
    """Changes nothing; appends one line of JSON for each image after its layers were read."""

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        super().__init__(options, settings)
        if not options['file']:
            raise UsageError('filter inspect: no file: add one, such as inspect:file=layers.jsonl')
        self._target = checked_target('inspect', options['file'], settings)
        self.files = ['/dev/stdout' if self._target == STDOUT else self._target]

    def apply(self, image: Image) -> Image:
        """Return the image with layers that are recorded when read."""
        seen = _Seen()
        derived = DerivedImage(image, lambda layer: InspectedLayer(layer, seen))
        image.on_copied(lambda: append(self._target, json.dumps(_described(derived, seen)) + '\n'))
        return derived


class _Seen:
    """The tars that were read: digest and size, by the layer's diff_id at the source."""

    def __init__(self) -> None:
        self._tars: dict[Digest, tuple[Digest, int]] = {}

    def keep(self, layer: Layer, stream: ByteStream) -> None:
        """Record a tar that was read to its end."""
        diff_id = layer.source.diff_id
        assert diff_id
        self._tars[diff_id] = stream.digest, stream.size

    def described(self, source: Digest, layer: Layer | None) -> dict[str, Any]:
        """Return what is known of the layer with this diff_id at the source, sizes in bytes."""
        digest, size = self._tars.get(source, (layer.diff_id if layer else None, None))
        blob = layer.descriptor if layer else None
        return {'diff_id': str(digest) if digest else None, 'size': size,
                'digest': str(blob.digest) if blob else None, 'stored_size': blob.size if blob else None,
                'media_type': blob.media_type if blob else None}


class InspectedLayer(DerivedLayer):
    """An unchanged layer whose tar is recorded when it was read to its end."""

    def __init__(self, original: Layer, seen: _Seen) -> None:
        super().__init__(original)
        self._seen = seen

    @property
    def descriptor(self) -> Descriptor | None:  # type: ignore[override]
        """The original's."""
        return self.original.descriptor

    @property
    def diff_id(self) -> Digest | None:  # type: ignore[override]
        """The original's."""
        return self.original.diff_id

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the original's blob."""
        return self.original.stored(observers)

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the original's tar."""
        stream = self.original.tar(observers)
        stream.observe(lambda count: self._seen.keep(self, stream) if stream.ended else None)
        return stream


def _described(image: Image, seen: _Seen) -> dict[str, Any]:
    """Return a description of the image's layers at this point, and of the image at the source that they belong to."""
    layers: Sequence[Layer | None] = image.layers or [None] * len(image.diff_ids)  # a sequential image has none left
    steps = steps_of_layers(image.config, len(layers))
    described = [{'created_by': step, **seen.described(diff_id, layer)}
                 for step, diff_id, layer in zip(steps, image.diff_ids, layers, strict=True)]
    source = {'image_id': str(image.source.config.digest),
              'manifest_digest': str(image.manifest.digest) if image.manifest else None}
    return {'reference': str(image.reference), 'platform': str(image.config.platform), 'source': source,
            'layers': described}
