"""docker:// as a source: an image of a daemon, its layers as they stream out of it."""
from collections.abc import Iterable, Iterator

from occystrap_core import Image, ImageInput, Layer, Location, SequentialImage, Settings
from occystrap_core.oci import Reference
from occystrap_docker.daemon import Daemon, ImageFacts
from occystrap_docker.export import Export


class DaemonImage(SequentialImage):
    """An image of a daemon; each walk over its arrivals is one export."""

    def __init__(self, reference: Reference, facts: ImageFacts, daemon: Daemon) -> None:
        super().__init__(reference, facts.diff_ids)
        self._facts, self._daemon = facts, daemon

    def arrivals(self) -> Iterator[Layer]:
        """Yield the layers straight from the socket; the tar of each can be opened once, a double comes once.

        Raises ServiceError when the daemon breaks off, InvalidImage when something is missing at the end.
        """
        stream = self._daemon.export(self._facts)
        self.on_close(stream.close)
        export = Export(stream, self._facts, str(self.reference))
        yield from export.layers()
        export.check_complete()
        self.found_config(export.config())


class DockerInput(ImageInput):
    """Images of a Docker or Podman daemon."""

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self._reference = Reference.parse(location.path)
        self._daemon = Daemon(location.options['socket'], settings)

    def references(self) -> Iterable[Reference]:
        """Return the one image that the location names."""
        return [self._reference.with_default_tag()]

    def open(self, reference: Reference) -> Image:
        """Return the image, having asked the daemon for its ID and its layers' digests."""
        facts = self._daemon.require(str(reference))
        return DaemonImage(name_of(reference, facts), facts, self._daemon)

    def close(self) -> None:
        """Let go of the daemon."""
        self._daemon.close()


def name_of(asked: Reference, facts: ImageFacts) -> Reference:
    """Return what to call an image: as it was asked for, but by a name of its own when that was its ID."""
    if asked.repository != 'sha256':
        return asked
    return Reference.parse(facts.tags[0]) if facts.tags else Reference('untagged')
