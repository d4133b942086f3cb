"""docker:// as a destination: an archive streamed into a daemon without a name, tagged when it proved to be right."""
import json
import logging
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import count

from occystrap_core import (
    Expectation, Image, ImageOutput, LayerForm, Location, OutgoingLayer, OutputError, Place, Receipt, ServiceError,
    Settings, UsageError, WrittenImage, WrittenLayer,
)
from occystrap_core.files import ByteStream, TemporaryFile
from occystrap_core.oci import Digest, Reference
from occystrap_docker.connection.address import Address
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.load.archive_stream import ArchiveStream
from occystrap_docker.load.known_layers import KnownLayers
from occystrap_docker.load.leftover import Leftover
from occystrap_docker.load.load_stream import LoadStream
from occystrap_docker.options import CONNECTION

_LOG = logging.getLogger('occystrap.docker')
_LOOK = 0.1
_CLEANING = 5.0
"""Seconds that a daemon gets for showing, and for removing, an image that is not wanted any more."""
_CLEANING_AFTER_A_SIGNAL = 0.5
_NUMBERS = count(1)

_CONNECTION = {option.name for option in CONNECTION}


class DockerWriter(ImageOutput):
    """Gives one image to a Docker or Podman daemon, as a stream of which the daemon alone keeps anything.

    A layer's size must be known before its first byte is sent. Where a filter may change it, or nothing tells it, the
    layer passes through an unnamed temporary file.
    """

    layer_form = LayerForm.TAR

    def __init__(self, location: Location, settings: Settings) -> None:
        self._daemon = Daemon(location.options, settings)
        super().__init__(_pinned(location, self._daemon.address), settings)
        self._reference = Reference.parse(location.path).with_default_tag()
        if self._reference.digest:
            raise UsageError(f'docker://{location.path}: a daemon computes digests itself, name a tag only')
        self._turn = threading.Lock()
        self._stream: LoadStream | None = None
        self._archive: ArchiveStream | None = None
        self._diff_ids: Sequence[Digest | None] = ()
        self._leaves_out = False
        self._nameless: Digest | None = None
        self._leftover: Leftover | None = None

    def place(self, reference: Reference) -> Place:
        """Return the name that the image gets in the daemon."""
        return self._daemon.address.place(self._reference)

    def prepare(self, image: Image) -> None:
        """Ask the daemon for a sign of life."""
        self._daemon.ping()
        self._diff_ids = _known_diff_ids(image)

    @cached_property
    def _there(self) -> Collection[Digest]:
        """Which of the layers the daemon has; asked when there is one whose diff_id is known before it is read."""
        try:
            if any(self._diff_ids) and self._daemon.finds_layers_by_chain:
                return KnownLayers.of(self._daemon, self.settings).among(self._diff_ids, self._daemon)
        except ServiceError as error:  # of another image, perhaps, that is damaged: then all is sent
            _LOG.debug('what layers the daemon has is not known: %s', error)
        return ()

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return a layer that the daemon has upon the same lower ones: it looks there before it looks in the archive.
        """
        size = layer.tar_size() if layer.diff_id in self._there else None
        if size is None:
            return None
        self._leaves_out = True
        return WrittenLayer(_layer_name(layer), layer.diff_id, size)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Send a layer's tar when no other is on its way."""
        size = None if layer.filtered else layer.tar_size()
        if size is None:
            return self._spooled(layer)
        name = _layer_name(layer)
        with self._alone() as archive, layer.open() as stream:
            right = archive.add(name, size, stream.chunks()) == size
        return WrittenLayer(name) if right else self._spooled(layer, 'again-')

    def finalize(self, image: WrittenImage) -> Receipt:
        """End the archive, hold what the daemon made of it against the image, and tag that."""
        loaded = self._load(image)
        self.settings.cancellation.check()  # once it is given up, the image may be removed at any time
        self._daemon.tag(loaded, self._reference)
        self._nameless = None
        self._daemon.close()
        return self._receipt(image)

    def abort(self) -> None:
        """Break off, and remove the image unless something names it; raises ServiceError when it may come later."""
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
        finally:  # not before: a signal may let another thread begin the same, and end the run before this one is done
            self._leftover = self._nameless = None
            self._daemon.close()

    @contextmanager
    def _alone(self) -> Iterator[ArchiveStream]:
        """Give the archive when no other thread writes to it; the first one has the daemon begin to load."""
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
        """Send a layer by way of a temporary file, which tells its size; raises OutputError when that has no room.

        `prefix` keeps its name apart from that of a first try: of two files of one name daemons take one or the other.
        """
        with layer.open() as stream:
            file = TemporaryFile.holding(stream.chunks(), self.settings.temporary)
        try:
            name = f'{prefix}{stream.digest.hex}/layer.tar'
            with self._alone() as archive, ByteStream(file.reopened(), digest=stream.digest) as spooled:
                archive.add(name, stream.size, spooled.chunks())
            return WrittenLayer(name)
        finally:
            file.close()

    def _load(self, image: WrittenImage) -> Digest:
        """Return the ID under which the daemon has the image now; raises OutputError when it made something else."""
        loaded = self._finished(image)
        facts = self._daemon.require(loaded)
        same = facts.diff_ids == image.config.diff_ids
        if not same or (loaded != image.config.digest and not self._daemon.names_images_by_manifest):
            raise OutputError(f'the daemon at {self._daemon.address} made image {loaded} of what should be '
                              f'{image.config.digest}; it was not tagged')
        return loaded

    def _finished(self, image: WrittenImage) -> Digest:
        """Send config and manifest, and return the ID of what the daemon made of it all."""
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
            if self._leaves_out and self._stream.refused:
                error.add_note('layers that the daemon had may have gone meanwhile: try again')
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
    """Return what the layers will be, lowest first, as far as it is known before they are read.

    A filter may change any layer of a sequential image, and with it what the others lie upon.
    """
    if image.sequential:
        return image.diff_ids if image is image.source else ()
    return [layer.diff_id for layer in image.layers]


def _layer_name(layer: OutgoingLayer) -> str:
    return f'{layer.diff_id.hex}/layer.tar' if layer.diff_id else f'layer-{next(_NUMBERS)}/layer.tar'


def _pinned(location: Location, address: Address) -> Location:
    """Return the location with the daemon's address, so that `verify` asks this one whatever the environment says."""
    others = {name: text for name, text in location.given.items() if name not in _CONNECTION}
    return location._replace(given={**others, **address.told()})
