"""One push into a registry that exists for it alone: directory, server and tag are made for it and gone after it."""
import queue
import secrets
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from occystrap_core import OutputError, ServiceError, ServiceUnavailable, Settings
from occystrap_core.oci import Digest, Reference
from occystrap_docker.daemon.daemon import Daemon, ImageFacts, left
from occystrap_docker.push.daemon_push import Push
from occystrap_docker.push.storage import Blob, PushStorage
from occystrap_registry.embedded import RegistryServer

INSTEAD = 'take docker:// instead, or let ?fallback=true do so'
_INSUFFICIENT_STORAGE = 507
_LARGEST_TIMES, _LARGEST = 4, 1 << 30
"""How much larger than the image, whose size daemons tell roughly, no blob of it can be; bytes."""
_LOOK = 0.1
"""Seconds between two looks at a daemon that is silent."""
_UNTAGGING = 5.0
"""Seconds that a daemon gets to remove the temporary tag."""
_UNTAGGING_AFTER_A_SIGNAL = 0.6


class PushSession:
    """A push under way. `close` must be called, whatever happens; it may be called twice, and by another thread."""

    def __init__(self, daemon: Daemon, facts: ImageFacts, image: str, settings: Settings,
                 elsewhere: Callable[[Digest], int | None] = lambda digest: None) -> None:
        """`image` names it in errors; `elsewhere` tells the size of a blob that need not come. Nothing is begun."""
        self._elsewhere = elsewhere
        self._daemon, self._facts, self._image, self._settings = daemon, facts, image, settings
        self._repository = f'occystrap/{secrets.token_hex(16)}'
        self._events: queue.SimpleQueue[Blob | Push] = queue.SimpleQueue()
        self._directory = ''
        self._storage: PushStorage | None = None
        self._server: RegistryServer | None = None
        self._tag: Reference | None = None
        self._push: Push | None = None
        self._requests = 0
        self._full = False
        self._closing = threading.Lock()
        self._tagged = threading.Event()

    def begin(self) -> None:
        """Start the registry, tag the image for it, and have the daemon push it there."""
        try:
            self._directory = tempfile.mkdtemp(prefix='occystrap-', dir=self._settings.temporary)
        except OSError as error:
            raise OutputError(f'cannot write to {self._settings.temporary}: {error.strerror}; name another one with '
                              '--temp-dir') from None
        self._storage = PushStorage(Path(self._directory), self._repository, self._events.put, self._elsewhere,
                                    _LARGEST_TIMES * self._facts.size + _LARGEST)
        self._server = RegistryServer(self._storage, observer=self._heard).__enter__()
        self._tag = Reference(self._repository, uuid.uuid4().hex, host=self._server.host)
        try:
            self._daemon.tag(self._facts.id, self._tag)
        finally:
            self._tagged.set()
        self._push = Push(self._daemon, self._tag, self._image, self._events.put)

    def blobs(self) -> Iterator[Blob]:
        """Yield each blob when it is whole; its file is there until the next is asked for.

        Ends when the daemon says that all is pushed. Raises ServiceError when it gives up, breaks off or stalls.
        """
        assert self._storage
        while isinstance(event := self._next(), Blob):
            yield event
            self._storage.take(event)
        self._check_room()
        try:
            event.check()
        except ServiceError as error:
            raise self._explained(error) from None

    def is_left_out(self, digest: Digest) -> bool:
        """Tell whether a blob did not come because it is elsewhere."""
        assert self._storage
        return digest in self._storage.left_out

    def manifest(self, digest: Digest | None = None) -> bytes | None:
        """Return a manifest or index that was pushed, the tagged one without a digest, None if it was not."""
        assert self._storage and self._tag
        try:
            wanted = digest or self._storage.tagged(self._repository, self._tag.tag)
            return self._storage.blob(wanted).read_bytes()
        except FileNotFoundError:
            return None

    def close(self) -> str:
        """Let the daemon stop, and remove tag, server and directory; return what could not be removed, for people."""
        with self._closing:
            if self._push:
                self._push.stop()
            if self._server:  # before the tag goes: a push that ends now would leave the daemon another name
                self._server.stop(at_once=True)
                self._server = None
            left = self._untag()
            if self._directory:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = ''
            return left

    def _heard(self, method: str, path: str, status: int) -> None:
        self._requests += 1
        self._full = self._full or status == _INSUFFICIENT_STORAGE

    def _next(self) -> Blob | Push:
        """Return what happens next; raises ServiceUnavailable when nothing does for too long."""
        silent_since, signs = time.monotonic(), self._signs_of_life()
        while True:
            self._settings.cancellation.check()
            self._check_room()
            try:
                return self._events.get(timeout=_LOOK)
            except queue.Empty:
                if (now := self._signs_of_life()) != signs:
                    silent_since, signs = time.monotonic(), now
                elif time.monotonic() - silent_since > self._daemon.patience(self._facts.size):
                    raise ServiceUnavailable(
                        f'the daemon at {self._daemon.address} stopped while pushing {self._image}: see its log, or '
                        'give it more time with --timeout') from None

    def _check_room(self) -> None:
        """Raise OutputError when the disk has refused a blob: the daemon would try again and again."""
        if self._full:
            raise OutputError(f'{self._settings.temporary} cannot take what the daemon pushes of {self._image}: name a '
                              'roomier directory with --temp-dir')

    def _signs_of_life(self) -> tuple[int, ...]:
        assert self._push and self._storage
        return self._push.lines, self._requests, self._storage.under_way()

    def _explained(self, error: ServiceError) -> ServiceError:
        """Return the error, or a better one when the daemon never reached the registry."""
        if self._requests or not self._server or self._server.host not in str(error):
            return error
        return ServiceUnavailable(
            f'{error}; it did not reach the registry that was started for it at {self._server.host}: perhaps it runs '
            f'elsewhere, in a virtual machine, or rootless with a network of its own: {INSTEAD}')

    def _untag(self) -> str:
        tag, self._tag = self._tag, None
        if tag is None:
            return ''
        seconds = _UNTAGGING_AFTER_A_SIGNAL if self._settings.cancellation.cancelled else _UNTAGGING
        end = time.monotonic() + seconds
        if not self._tagged.wait(seconds / 2):  # another thread waits for the daemon, which may do it yet
            return f'the daemon had not answered when it was to set the temporary tag {tag.familiar}: look for it later'
        try:
            if self._daemon.untag(self._facts.id, tag, left(end)):
                return ''
        except ServiceError as error:
            return f'the temporary tag {tag.familiar} may be left: {error}'
        return f'the image has lost its other names meanwhile, so its temporary tag was left to it: {tag.familiar}'
