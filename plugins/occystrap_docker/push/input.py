"""dockerpush:// as a source: an image that its daemon pushes, layers in parallel, to a registry in this program."""
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from urllib.parse import urlsplit

from occystrap_core import Image, Layer, Location, OccystrapError, ServiceError, ServiceUnavailable, Settings
from occystrap_core.oci import Digest, Reference
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.input import DaemonImage, DockerInput
from occystrap_docker.push.contents import PushContents
from occystrap_docker.push.session import INSTEAD, PushSession

_LOG = logging.getLogger('occystrap.docker')
_HERE = ('localhost', '127.0.0.1', '::1')


class PushedImage(DaemonImage):
    """An image of a daemon; each iteration over `arrivals` is one push, or an export as fallback."""

    notes: Sequence[str] = ()

    def __init__(self, reference: Reference, facts: ImageFacts, daemon: Daemon, settings: Settings, fallback: bool,
                 ) -> None:
        super().__init__(reference, facts, daemon)
        self._settings, self._fallback = settings, fallback

    def arrivals(self) -> Iterator[Layer]:
        """Yield the layers as blobs, each when the daemon has pushed it, while it pushes others.

        Raises ServiceError when the daemon cannot push, InvalidImage when it pushed another image.
        """
        return self.arrivals_beside(lambda digest: None)

    def arrivals_beside(self, blob_size: Callable[[Digest], int | None]) -> Iterator[Layer]:
        """Yield the same, but without blobs for layers that the destination has, which the daemon need not push."""
        begun = False
        try:
            for layer in self._pushed(blob_size):
                begun = True
                yield layer
            return
        except ServiceError as error:
            if begun or not self._fallback:
                raise
            self._note(f'{self.reference} is exported instead of pushed: {str(error).partition(f": {INSTEAD}")[0]}')
        yield from super().arrivals()

    def _pushed(self, blob_size: Callable[[Digest], int | None]) -> Iterator[Layer]:
        _require_reachable(self._daemon, self._facts, str(self.reference))
        session = PushSession(self._daemon, self._facts, str(self.reference), self._settings,
                              partial(self._elsewhere, blob_size))
        self._settings.shared.get(session, lambda: session)  # the run closes it at the latest
        self.on_close(lambda: self._close(session))
        try:
            with self._settings.cancellation.by_signals():
                yield from self._contents(session)
        finally:
            self._close(session)

    def _contents(self, session: PushSession) -> Iterator[Layer]:
        session.begin()
        contents = PushContents(session, self._facts, str(self.reference),
                                lambda count: self._settings.cancellation.check())
        yield from contents.layers()
        config, self.manifest = contents.metadata()
        if contents.platforms and self.origin:
            self.note_origin(self.origin.digest, contents.platforms)
        self.found_config(config)
        yield from contents.left_out()

    def _elsewhere(self, blob_size: Callable[[Digest], int | None], digest: Digest) -> int | None:
        """Return the size of a blob that the destination has; None for a blob to push: the config, and unknown blobs.

        With containerd's store the config's digest is not known.
        """
        if digest == self._facts.id or self._daemon.names_images_by_manifest:
            return None
        try:
            return blob_size(digest)
        except OccystrapError as error:
            _LOG.debug('the daemon has to push %s: %s', digest, error)
            return None

    def _close(self, session: PushSession) -> None:
        if left := session.close():
            self._note(left)

    def _note(self, text: str) -> None:
        self.notes = (*self.notes, text)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        super().__exit__(kind, error, trace)
        if error:
            for note in self.notes:
                error.add_note(note)


class DockerPushInput(DockerInput):
    """Images that a Docker or Podman daemon pushes."""

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self._fallback = bool(location.options['fallback'])

    def open(self, reference: Reference) -> Image:
        """Return the image, with its ID and its layers' digests from the daemon; nothing is pushed yet."""
        return PushedImage(*self._found(reference), self._daemon, self.settings, self._fallback).note_meaning()


def _require_reachable(daemon: Daemon, facts: ImageFacts, image: str) -> None:
    """Raise ServiceUnavailable if a push cannot reach this program, or would have the daemon remove the image."""
    url = urlsplit(daemon.address.url)
    if url.scheme == 'ssh' or (url.scheme != 'unix' and url.hostname not in _HERE):
        raise ServiceUnavailable(f'the daemon at {daemon.address} runs on another machine, from where it cannot push '
                                 f'{image} to this program: {INSTEAD}')
    if not facts.tags:
        raise ServiceUnavailable(f'{image} has no tag, so the daemon at {daemon.address} would remove it together '
                                 f'with the temporary tag of the push: {INSTEAD}, or tag it')
