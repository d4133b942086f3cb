"""docker:// as a destination: an untagged archive streamed into a daemon, tagged when the result is right."""
import json
import logging
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from occystrap_core import (
    Expectation, Image, ImageIndex, ImageNotFound, ImageOutput, LayerForm, Location, OutgoingLayer, OutputError, Place,
    Receipt, ServiceError, Settings, UsageError, WrittenImage, WrittenLayer,
)
from occystrap_core.files import ByteStream, TemporaryFile
from occystrap_core.oci import Digest, Reference
from occystrap_docker.connection.address import Address
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.held_platforms import held_platforms
from occystrap_docker.load.archive_stream import ArchiveStream
from occystrap_docker.load.known_layers import KnownLayers
from occystrap_docker.load.leftover import Leftover
from occystrap_docker.load.load_stream import LoadStream
from occystrap_docker.options import CONNECTION

_LOG = logging.getLogger('occystrap.docker')
_LOOK = 0.1
"""Seconds between checks for cancellation."""
_CLEANING = 5.0
"""Timeout in seconds for removing the image of a failed copy."""
_CLEANING_AFTER_A_SIGNAL = 0.5
_NUMBERS = count(1)
_DIGITS = 64
"""Digits of a digest in a layer's name, so that it fits in a plain header."""

_MISSING = 'no such file'
"""Part of a daemon's message about a layer that is neither in the archive nor in its store."""
_CONNECTION = {option.name for option in CONNECTION}


class DockerWriter(ImageOutput):
    """Loads one image into a Docker or Podman daemon, as a stream that is stored nowhere else.

    A layer's size must be known before its first byte is sent. If a filter may change it, or it is not known, the layer
    goes through an unnamed temporary file.
    """

    layer_form = LayerForm.TAR

    def __init__(self, location: Location, settings: Settings) -> None:
        self._reference = Reference.parse(location.path).with_default_tag()
        self._daemon = Daemon(location.options, settings, self._reference)
        super().__init__(_pinned(location, self._daemon.address), settings)
        if self._reference.digest:
            raise UsageError(f'docker://{location.path}: the daemon computes the digest itself: name a tag only')
        self._turn = threading.Lock()
        self._stream: LoadStream | None = None
        self._archive: ArchiveStream | None = None
        self._diff_ids: Sequence[Digest | None] = ()
        self._known: Collection[Digest] | None = None
        self._leaves_out = False
        self._nameless: Digest | None = None
        self._leftover: Leftover | None = None

    def place(self, reference: Reference) -> Place:
        """Return the name that the image gets in the daemon."""
        return self._daemon.address.place(self._reference)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Check that the daemon answers, and that no image of several platforms would be replaced."""
        self._daemon.ping()
        self._require_single()

    def prepare(self, image: Image) -> None:
        """Check the same before anything is read."""
        self.require_possible(image)
        self._diff_ids = _known_diff_ids(image)

    def _require_single(self) -> None:
        """Raise OutputError if the name is that of several platforms, unless it may be replaced; add a note if the
        daemon does not report that."""
        if self.settings.replace_index:
            return
        there, name = held_platforms(self._daemon, self._reference), self._reference.familiar
        if there is None:
            self.notes = (f'{name}: the daemon at {self._daemon.address} does not tell whether the image that it had '
                          'under this name, and which was replaced, was for several platforms',)
        elif len(there) > 1:
            several = f'{len(there)} platforms, {", ".join(there)},' if all(there) else 'several platforms'
            raise OutputError(f'{name} is an index of {several} in the daemon at {self._daemon.address}, which a '
                              'single image would replace: choose another tag, or use --replace-index')

    @property
    def _there(self) -> Collection[Digest]:
        """The layers that the daemon has already; empty if no diff_id is known before its layer is read."""
        if self._known is None:
            self._known = self._found_there()
        return self._known

    def _found_there(self) -> Collection[Digest]:
        try:
            if any(self._diff_ids) and self._daemon.itself.finds_layers_by_chain:
                return KnownLayers.of(self._daemon, self.settings).among(self._diff_ids, self._daemon)
        except ServiceError as error:  # another image may be damaged: then all layers are sent
            _LOG.debug('the layers of the daemon are not known: %s', error)
        return ()

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return a layer that the daemon has with the same lower layers; the daemon uses it instead of one in the
        archive."""
        size = layer.tar_size() if layer.diff_id in self._there else None
        if size is None:
            return None
        self._leaves_out = True
        return WrittenLayer(_layer_name(layer), layer.diff_id, size)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Send a layer's tar; one layer is sent at a time."""
        size = None if layer.filtered else layer.tar_size()
        if size is None:
            return self._spooled(layer)
        name = _layer_name(layer)
        with self._alone() as archive, layer.open() as stream:
            is_complete = archive.add(name, size, stream.chunks()) == size
        return WrittenLayer(name) if is_complete else self._spooled(layer, 'again-')

    def finalize(self, image: WrittenImage) -> Receipt:
        """End the archive, compare the image that the daemon made of it, and tag it."""
        loaded = self._load(image)
        self.settings.cancellation.check()  # after a cancellation the image may be removed at any time
        self._tag(loaded)
        self._nameless = None
        self._daemon.close()
        return self._receipt(image)

    def abort(self) -> None:
        """Cancel the load, and remove the image unless it has a name; raises ServiceError when it may appear later."""
        seconds = _CLEANING_AFTER_A_SIGNAL if self.settings.cancellation.cancelled else _CLEANING
        if self._stream:
            self._stream.give_up()
        leftover, nameless = self._leftover, self._nameless
        try:
            if leftover:
                leftover.remove(seconds)
            if nameless:
                self._daemon.remove_untagged(nameless, seconds)
        except ServiceError as error:
            raise ServiceError(f'{error}; image {nameless} is left without a name') if nameless else error from None
        finally:  # last, since after a signal another thread may do the same, and end the run first
            self._leftover = self._nameless = None
            self._daemon.close()

    @contextmanager
    def _alone(self) -> Iterator[ArchiveStream]:
        """Yield the archive while no other thread writes to it; the first call starts the load."""
        while not self._turn.acquire(timeout=_LOOK):
            self.settings.cancellation.check()
        try:
            if self._archive is None:
                self._stream = LoadStream(self._daemon, self.settings.cancellation.check)
                self._archive = ArchiveStream(self._stream.write)
            yield self._archive
        finally:
            self._turn.release()

    def _spooled(self, layer: OutgoingLayer, prefix: str = '') -> WrittenLayer:
        """Send a layer through a temporary file, whose size is known; raises OutputError if the disk is full.

        `prefix` distinguishes its name from that of a first attempt: of two files with one name daemons use either.
        """
        with layer.open() as stream:
            file = TemporaryFile.holding(stream.chunks(), self.settings.temporary)
        try:
            name = f'{prefix}{stream.digest.hex[:_DIGITS]}/layer.tar'
            with self._alone() as archive, ByteStream(file.reopened(), digest=stream.digest) as spooled:
                archive.add(name, stream.size, spooled.chunks())
            return WrittenLayer(name)
        finally:
            file.close()

    def _load(self, image: WrittenImage) -> Digest:
        """Return the ID of the loaded image; raises OutputError when the daemon made another image."""
        loaded = self._finished(image)
        try:
            facts = self._daemon.require(loaded)
        except ImageNotFound:
            raise self._removed(loaded) from None
        same = facts.diff_ids == image.config.diff_ids
        if not same or (loaded != image.config.digest and not self._daemon.names_images_by_manifest):
            raise OutputError(f'the daemon at {self._daemon.address} loaded image {loaded}, expected '
                              f'{image.config.digest}: it was not tagged')
        return loaded

    def _tag(self, loaded: Digest) -> None:
        """Tag the loaded image; raises ServiceError."""
        try:
            self._daemon.tag(loaded, self._reference)
        except ServiceError:
            if self._daemon.find(loaded) is None:
                raise self._removed(loaded) from None
            raise

    def _removed(self, loaded: Digest) -> ServiceError:
        """Return the error for an image that the daemon has made and no longer has."""
        return ServiceError(f'the daemon at {self._daemon.address} loaded image {loaded}, and lost it before it was '
                            f'tagged {self._reference.familiar}: something removes untagged images there, such as '
                            f'`{self._daemon.address.engine.name} image prune`: try again')

    def _finished(self, image: WrittenImage) -> Digest:
        """Send config and manifest, and return the ID of the image that the daemon made of the archive."""
        config = f'{image.config.digest.hex}.json'
        manifest = json.dumps([{'Config': config, 'RepoTags': None,
                                'Layers': [layer.locator for layer in image.layers]}]).encode()
        with self._alone() as archive:
            archive.add(config, len(image.config.raw), [image.config.raw])
            archive.add('manifest.json', len(manifest), [manifest])
            leftover = Leftover(self._daemon, image.config.digest, image.config.diff_ids)
            archive.end()
        assert self._stream
        try:
            loaded = self._stream.finish()
        except BaseException as error:
            self._leftover = None if self._stream.refused else leftover
            if self._leaves_out and self._stream.refused and _MISSING in str(error):
                error.add_note('layers that the daemon had may have been removed meanwhile: try again')
            raise
        self._nameless = None if leftover.was_there(loaded) else loaded
        return loaded

    def _receipt(self, image: WrittenImage) -> Receipt:
        image_id, size = image.config.digest, len(image.config.raw)
        documents = [Expectation('config', image_id, image_id, size),
                     Expectation('tag', self._reference.familiar, image_id, size)]
        return image.receipt(self.location, documents, reference=self._reference,
                             locate=lambda layer: layer.diff_id)


def _known_diff_ids(image: Image) -> Sequence[Digest | None]:
    """Return the diff_ids of the layers, lowest first, None where not known before the layer is read.

    None at all are known for a filtered sequential image: a filter may change any layer, and the daemon finds a layer
    only together with all below it.
    """
    if image.sequential:
        return image.diff_ids if image is image.source else ()
    return [layer.diff_id for layer in image.layers]


def _layer_name(layer: OutgoingLayer) -> str:
    return f'{layer.diff_id.hex[:_DIGITS]}/layer.tar' if layer.diff_id else f'layer-{next(_NUMBERS)}/layer.tar'


def _pinned(location: Location, address: Address) -> Location:
    """Return the location with the daemon's address, so that `verify` uses this daemon in any environment."""
    others = {name: text for name, text in location.given.items() if name not in _CONNECTION}
    return location._replace(given={**others, **address.as_options()})
