"""Building docker archives of one image."""
import json
from collections.abc import Callable, Sequence
from functools import partial

from occystrap_core import Expectation, Image, Layer, OutgoingLayer, Settings, WrittenImage, WrittenLayer
from occystrap_core.files import ByteStream
from occystrap_core.oci import Digest
from occystrap_tar.new_archive.archive_builder import ArchiveBuilder
from occystrap_tar.new_archive.destination_file import check_destination
from occystrap_tar.new_archive.kept_blobs import KeptBlobs
from occystrap_tar.new_archive.layers_of_run import LayersOfRun

_DIGITS = 64
"""Digits of a digest in a layer's name, so that it fits in a plain header; no program reads the digest from the name.
"""


class DockerArchiveBuilder:
    """A docker archive of one image: `<diff_id>/layer.tar`…, `<config>.json`, `manifest.json`.

    Call `prepare`, then `write_layer` for each layer, on any threads, then `finish`; or `discard`.
    """

    def __init__(self, path: str, settings: Settings, kept: KeptBlobs) -> None:
        """`kept` has parts of large blobs from interrupted runs."""
        self._kept = kept
        self._archive = ArchiveBuilder(path, settings)
        self._layers = LayersOfRun.of(settings)
        self._settings = settings

    def prepare(self, image: Image) -> None:
        """Lay out the archive; raises OutputError if the path cannot be written."""
        check_destination(self._archive.path, self._settings)
        same = same_layers(image)
        hints = self._settings.in_parallel(lambda layers: layers[0].tar_size(), same, helping=True)
        self._archive.begin(([layer.index for layer in layers], hint, '')
                            for layers, hint in zip(same, hints, strict=True))

    def write_layer(self, layer: OutgoingLayer) -> str:
        """Write a layer's tar and return its name in the archive; raises OutputError."""
        return self._kept.read(layer, lambda stream: self._write(layer, stream))

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Write a layer's tar from another archive of the run, or from an interrupted run; None if neither has it.

        Raises OutputError.
        """
        def write(stream: ByteStream) -> str:
            return self._write(layer, stream)
        return (self._layers.adopt(layer.diff_id, write, self._archive.notes.append)
                or self._kept.adopt(layer.diff_id, layer.source_blob, write))

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the user about problems that do not affect the archive."""
        return self._archive.notes

    def _write(self, layer: OutgoingLayer, stream: ByteStream) -> str:
        region = self._archive.write(layer.index, stream.chunks())
        region.name = f'{stream.digest.hex[:_DIGITS]}/layer.tar'
        self._layers.keep(stream.digest, self._archive, region)
        if layer.diff_id:  # without a diff_id the next run could not recognize it
            self._kept.note(stream.digest, region.size, layer.source_blob, partial(self._archive.reread, region))
        return region.name

    def finish(self, image: WrittenImage, tags: Sequence[str], check: Callable[[], object]) -> list[Expectation]:
        """Write config and manifest, rename the archive to its path unless `check` raises, and return the expectations
        for these two."""
        config_name = f'{image.config.digest.hex}.json'
        manifest = json.dumps([{'Config': config_name, 'RepoTags': list(tags) or None,
                                'Layers': [layer.locator for layer in image.layers]}]).encode()
        self._archive.finish([(config_name, image.config.raw), ('manifest.json', manifest)], check=check)
        return [Expectation('manifest', 'manifest.json', Digest.of(manifest), len(manifest)),
                Expectation('config', config_name, image.config.digest, len(image.config.raw))]

    def discard(self) -> None:
        """Remove all temporary files; raises OutputError if one cannot be removed."""
        self._archive.discard()


def same_layers(image: Image) -> list[list[Layer]]:
    """Return the image's layers in order, grouped with those that are the same, which is read and written once."""
    same: dict[object, list[Layer]] = {}
    for layer in image.layers:
        same.setdefault(layer.source.diff_id or id(layer.source), []).append(layer)
    return list(same.values())
