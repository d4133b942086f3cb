"""docker:// as a destination: an archive loaded into a daemon without a name, tagged when it proved to be right."""
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from occystrap_core import (
    CHUNK, Expectation, Image, ImageOutput, LayerForm, Location, OutgoingLayer, OutputError, Receipt, ServiceError,
    Settings, UsageError, WrittenImage, WrittenLayer,
)
from occystrap_core.oci import Digest, Reference
from occystrap_docker.address import Address
from occystrap_docker.daemon import Daemon
from occystrap_docker.plugin import CONNECTION
from occystrap_tar.builder import DockerArchiveBuilder

_CONNECTION = {option.name for option in CONNECTION}


class DockerWriter(ImageOutput):
    """Gives one image to a Docker or Podman daemon, by way of a temporary archive."""

    wants = LayerForm.TAR

    def __init__(self, location: Location, settings: Settings) -> None:
        self._daemon = Daemon(location.options, settings)
        super().__init__(_pinned(location, self._daemon.address), settings)
        self._reference = Reference.parse(location.path).with_default_tag()
        if self._reference.digest:
            raise UsageError(f'docker://{location.path}: a daemon computes digests itself, name a tag only')
        self._folder = ''
        self._builder: DockerArchiveBuilder | None = None
        self._nameless: Digest | None = None

    def prepare(self, image: Image) -> None:
        """Ask the daemon for a sign of life, and make room for the archive."""
        self._daemon.ping()
        try:
            self._folder = tempfile.mkdtemp(prefix='occystrap-', dir=self.settings.temporary)
        except OSError as error:
            raise OutputError(f'cannot write to {self.settings.temporary}: {error.strerror}; name another folder with '
                              '--temp-dir') from None
        self._builder = DockerArchiveBuilder(self._archive, replace(self.settings, sync=False))
        self._builder.prepare(image)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write a layer's tar into the archive."""
        assert self._builder
        try:
            return WrittenLayer(self._builder.write_layer(layer))
        except OutputError as error:
            raise OutputError(f'{error}; name a roomier folder with --temp-dir') from None

    def finalize(self, image: WrittenImage) -> Receipt:
        """Load the archive into the daemon, hold what it made of it against the image, and tag that."""
        assert self._builder
        self._builder.finish(image, [])
        loaded = self._load(image)
        self._daemon.tag(loaded, self._reference)
        self._nameless = None
        self._remove_archive()
        self._daemon.close()
        return self._receipt(image)

    def abort(self) -> None:
        """Remove the archive, and the image unless something names it."""
        if self._builder:
            self._builder.discard()
        self._remove_archive()
        with suppress(ServiceError):  # a daemon that is gone has been told to the user already
            if self._nameless:
                self._daemon.remove_untagged(self._nameless)
        self._daemon.close()

    @property
    def _archive(self) -> str:
        return os.path.join(self._folder, 'image.tar')

    def _load(self, image: WrittenImage) -> Digest:
        """Return the ID under which the daemon has the image now; raises OutputError when it made something else."""
        already_there = self._daemon.find(image.config.digest)
        loaded = self._daemon.load(self._pieces(), os.path.getsize(self._archive))
        self._nameless = None if already_there else loaded
        facts = self._daemon.require(loaded)
        same = facts.diff_ids == image.config.diff_ids
        if not same or (loaded != image.config.digest and not self._daemon.names_images_by_manifest):
            raise OutputError(f'the daemon at {self._daemon.address} made image {loaded} of what should be '
                              f'{image.config.digest}; it was not tagged')
        return loaded

    def _pieces(self) -> Iterator[bytes]:
        with open(self._archive, 'rb', buffering=0) as file:
            while piece := file.read(CHUNK):
                self.settings.cancellation.check()
                yield piece

    def _receipt(self, image: WrittenImage) -> Receipt:
        image_id, size = image.config.digest, len(image.config.raw)
        documents = [Expectation('config', image_id, image_id, size),
                     Expectation('tag', self._reference.familiar, image_id, size)]
        return image.receipt(self.location, documents, reference=self._reference,
                             locate=lambda layer: layer.diff_id)

    def _remove_archive(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _pinned(location: Location, address: Address) -> Location:
    """Return the location with the daemon's address, so that `verify` asks this one whatever the environment says."""
    others = {name: text for name, text in location.given.items() if name not in _CONNECTION}
    return replace(location, given={**others, **address.told()})
