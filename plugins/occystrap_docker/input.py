"""docker:// as a source: an image of a daemon, with layers streamed from its export."""
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Self

from occystrap_core import Image, ImageInput, Layer, Location, Place, Settings
from occystrap_core.oci import Digest, Reference
from occystrap_core.tar import ReportedImage, SequentialImage
from occystrap_docker.connection.address import complete_name
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.daemon.reported import reported
from occystrap_docker.daemon.selection import NamePattern, matching
from occystrap_docker.export.export import Export
from occystrap_docker.export.first_pass import resolved

_ID = re.compile('[0-9a-f]{12,64}')


class DaemonImage(SequentialImage):
    """An image of a daemon; each iteration over `arrivals` is an export, with containerd's store the first is two."""

    def __init__(self, reference: Reference, facts: ImageFacts, daemon: Daemon) -> None:
        super().__init__(reference, facts.diff_ids, facts.platform)
        self._facts, self._daemon = facts, daemon

    def note_meaning(self) -> Self:
        """Record what the name means in the daemon, and return the image; raises ServiceError."""
        self.note_origin(_meant(self.reference, self._facts, self._daemon), self._facts.platforms)
        return self

    def reported(self) -> ReportedImage:
        """Return the daemon's report from inspect and history; raises ServiceError."""
        return reported(self._daemon, self._facts)

    def arrivals(self) -> Iterator[Layer]:
        """Yield the layers straight from the socket; each tar can be opened once, a duplicate layer comes once.

        Raises ServiceError when the daemon fails, InvalidImage when something is missing at the end.
        """
        self._facts = resolved(self._daemon, self._facts, str(self.reference))
        self.note_meaning()
        stream = self._daemon.export(self._facts)
        self.on_close(stream.close)
        export = Export(stream, self._facts, str(self.reference))
        yield from export.layers()
        export.check_complete()
        self.found_config(export.config())


class DockerInput(ImageInput):
    """Images of a Docker or Podman daemon: one by name, digest or ID, or all whose names match a pattern."""

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self._pattern = NamePattern.parse(location.path, default_tag='latest')
        self._reference = Reference('any') if self._pattern else Reference.parse(location.path).with_default_tag()
        self._daemon = Daemon(location.options, settings, self._reference)

    def references(self) -> Iterable[Reference]:
        """Return the image, or all that match a pattern; raises ImageNotFound, ServiceError."""
        if self._pattern:
            return matching(self._daemon, self._pattern)
        return [self._reference]

    def open(self, reference: Reference) -> Image:
        """Return the image, with its ID and its layers' digests from the daemon."""
        return DaemonImage(*self._found(reference), self._daemon).note_meaning()

    def present_digest(self, reference: Reference) -> Digest:
        """Return the image ID."""
        return self._found(reference)[1].id

    def created(self, reference: Reference) -> float | None:
        """Return the creation time that the daemon reports, in seconds since 1970."""
        try:
            return datetime.fromisoformat(self._found(reference)[1].created).timestamp()
        except ValueError:
            return None

    def location_of(self, reference: Reference) -> Location:
        """Return the location of an image that matches the pattern."""
        return self.location.with_path(str(reference)) if self._pattern else self.location

    def place(self, reference: Reference) -> Place:
        """Return its name in the daemon."""
        return self._daemon.address.place(reference)

    def close(self) -> None:
        """Close the connections to the daemon."""
        self._daemon.close()

    def _found(self, reference: Reference) -> tuple[Reference, ImageFacts]:
        """Return the reference and the facts of an image; raises ImageNotFound, ServiceError."""
        if facts := self._of_id():
            return _own_name(facts), self._for_platform(facts, self.location.path)
        return reference, self._for_platform(self._daemon.require(str(reference)), str(reference))

    def _for_platform(self, facts: ImageFacts, image: str) -> ImageFacts:
        """Return the facts for the requested platform, if the daemon has the image for several."""
        requested = self.settings.platform
        if requested is None or facts.platform is None or facts.platform.satisfies(requested):
            return facts
        return resolved(self._daemon, facts, image, requested)

    def _of_id(self) -> ImageFacts | None:
        """Return the image whose full or short ID the location names; an image with that name takes precedence."""
        path = self.location.path
        if path.startswith('sha256:'):
            return self._daemon.require(path)
        if not _ID.fullmatch(path) or self._daemon.find(f'{path}:latest'):
            return None
        facts = self._daemon.find(path)
        return facts if facts and facts.id.hex.startswith(path) else None


def _meant(reference: Reference, facts: ImageFacts, daemon: Daemon) -> Digest | None:
    """Return the digest that the name means: in containerd's store the image's ID; otherwise its only digest in its
    repository at a registry, None if there is none or there are several."""
    if daemon.may_export_platforms(facts):
        return facts.id
    named = [Reference.parse(each) for each in facts.digests if not each.startswith('<none>')]
    own = complete_name(reference).name
    digests = {each.digest for each in named if each.digest and complete_name(each).name == own}
    if reference.digest:
        digests &= {reference.digest}
    return digests.pop() if len(digests) == 1 else None


def _own_name(facts: ImageFacts) -> Reference:
    """Return a name of an image that was requested by its ID."""
    return Reference.parse(facts.tags[0]) if facts.tags else Reference('untagged')
