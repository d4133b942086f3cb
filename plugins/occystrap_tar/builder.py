"""Building docker archives, for files and for daemons: the public API of this plugin for other plugins."""
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from occystrap_core import Expectation, Image, OutgoingLayer, Settings, WrittenImage
from occystrap_core.oci import Digest
from occystrap_tar.archive_builder import ArchiveBuilder


class DockerArchiveBuilder:
    """A docker archive of one image: `<diff_id>/layer.tar`…, `<config>.json`, `manifest.json`.

    Call `prepare`, then `write_layer` for each layer, on any threads, then `finish`; or `discard`.
    """

    def __init__(self, path: str, settings: Settings) -> None:
        self._archive = ArchiveBuilder(path, settings)
        self._jobs = settings.jobs
        self._sequential = False

    def prepare(self, image: Image) -> None:
        """Lay out the archive; raises OutputError when the path cannot be written."""
        self._archive.refuse_impossible()
        self._sequential = image.sequential
        first: dict[Digest | None, int] = {}
        shared = {layer.index: first[layer.source.diff_id] for layer in image.layers
                  if first.setdefault(layer.source.diff_id, layer.index) != layer.index}
        distinct = [layer for layer in image.layers if layer.index not in shared]
        with ThreadPoolExecutor(self._jobs) as asking:  # a hint may be a question to a far registry
            sizes = asking.map(lambda layer: layer.tar_size(), distinct)
            hints = {layer.index: size for layer, size in zip(distinct, sizes, strict=True)}
        self._archive.begin(hints, shared)

    def write_layer(self, layer: OutgoingLayer) -> str:
        """Write a layer's tar and return its name in the archive; raises OutputError."""
        with layer.open() as stream:
            chunks = stream.chunks()
            region = self._archive.append(chunks) if self._sequential else self._archive.write(layer.index, chunks)
        name = f'{stream.digest.hex}/layer.tar'
        self._archive.name(region, name)
        return name

    def finish(self, image: WrittenImage, tags: Sequence[str]) -> list[Expectation]:
        """Write config and manifest, let the archive appear, and return what must be there of these two."""
        config_name = f'{image.config.digest.hex}.json'
        manifest = json.dumps([{'Config': config_name, 'RepoTags': list(tags) or None,
                                'Layers': [layer.locator for layer in image.layers]}]).encode()
        self._archive.finish([(config_name, image.config.raw), ('manifest.json', manifest)])
        return [Expectation('manifest', 'manifest.json', Digest.of(manifest), len(manifest)),
                Expectation('config', config_name, image.config.digest, len(image.config.raw))]

    def discard(self) -> None:
        """Remove everything temporary."""
        self._archive.discard()
