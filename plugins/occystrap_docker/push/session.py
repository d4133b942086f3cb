"""One push to a temporary registry: directory, server and tag are made for it and removed after it."""
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
from occystrap_docker.daemon.daemon import Daemon, seconds_until
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.push.daemon_push import Push
from occystrap_docker.push.storage import Blob, PushStorage
from occystrap_registry.embedded import RegistryServer

INSTEAD = 'use docker:// instead, or ?fallback=true'
_INSUFFICIENT_STORAGE = 507
_LARGEST_TIMES, _LARGEST = 4, 1 << 30
"""Limits of a blob: this many times the size of the image, which daemons report approximately, plus this many bytes."""
_LOOK = 0.1
"""Seconds between checks of a silent daemon."""
_UNTAGGING = 5.0
"""Timeout in seconds for removing the temporary tag."""
_UNTAGGING_AFTER_A_SIGNAL = 0.6


class PushSession:
    """A push with its registry. `close` must always be called; it may be called twice, and by another thread."""

    def __init__(self, daemon: Daemon, facts: ImageFacts, image: str, settings: Settings,
                 elsewhere: Callable[[Digest], int | None] = lambda digest: None) -> None:
        """`image` names it in errors; `elsewhere` returns the size of a blob that need not be pushed, else None."""
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
            raise OutputError(f'cannot write to {self._settings.temporary}: {error.strerror}; choose another directory '
                              'with --temp-dir') from None
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
        """Yield each blob when it is complete; its file exists until the next is requested.

        Ends when the daemon reports the end of the push. Raises ServiceError when it fails or stalls.
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
        """Return whether a blob was not pushed because the destination has it."""
        assert self._storage
        return digest in self._storage.left_out

    def manifest(self, digest: Digest | None = None) -> bytes | None:
        """Return a pushed manifest or index, by default the tagged one, None if it was not pushed."""
        assert self._storage and self._tag
        try:
            found = digest or self._storage.tagged(self._repository, self._tag.tag)
            return self._storage.blob(found).read_bytes()
        except FileNotFoundError:
            return None

    def close(self) -> str:
        """Cancel the push and remove tag, server and directory; return a message about what could not be removed."""
        with self._closing:
            if self._push:
                self._push.stop()
            if self._server:  # before the tag: a push that ends now would give the image another name
                self._server.stop(at_once=True)
                self._server = None
            message = self._untag()
            if self._directory:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = ''
            return message

    def _heard(self, method: str, path: str, status: int) -> None:
        self._requests += 1
        self._full = self._full or status == _INSUFFICIENT_STORAGE

    def _next(self) -> Blob | Push:
        """Return the next blob, or the push at its end; raises ServiceUnavailable when the daemon stalls."""
        silent_since, progress = time.monotonic(), self._progress()
        while True:
            self._settings.cancellation.check()
            self._check_room()
            try:
                return self._events.get(timeout=_LOOK)
            except queue.Empty:
                if (now := self._progress()) != progress:
                    silent_since, progress = time.monotonic(), now
                elif time.monotonic() - silent_since > self._daemon.patience(self._facts.size):
                    raise ServiceUnavailable(
                        f'the daemon at {self._daemon.address} stopped while pushing {self._image}: see its log, or '
                        'raise --timeout') from None

    def _check_room(self) -> None:
        """Raise OutputError when the disk is full: the daemon would retry for long."""
        if self._full:
            raise OutputError(f'{self._settings.temporary} has no room for the blobs of {self._image}: choose a larger '
                              'directory with --temp-dir')

    def _progress(self) -> tuple[int, ...]:
        assert self._push and self._storage
        return self._push.progress, self._requests, self._storage.under_way()

    def _explained(self, error: ServiceError) -> ServiceError:
        """Return the error, or a clearer one if the daemon never reached the registry."""
        if self._requests or not self._server or self._server.host not in str(error):
            return error
        return ServiceUnavailable(
            f'{error}; it did not reach the registry at {self._server.host} that was started for it: it may run on '
            f'another machine, in a virtual machine, or rootless with its own network: {INSTEAD}')

    def _untag(self) -> str:
        tag, self._tag = self._tag, None
        if tag is None:
            return ''
        seconds = _UNTAGGING_AFTER_A_SIGNAL if self._settings.cancellation.cancelled else _UNTAGGING
        end = time.monotonic() + seconds
        if not self._tagged.wait(seconds / 2):  # another thread waits for the daemon, which may do it yet
            return f'the daemon did not answer in time and may still set the temporary tag {tag.familiar}: remove it'
        try:
            if self._daemon.untag(self._facts.id, tag, seconds_until(end)):
                return ''
        except ServiceError as error:
            return f'the temporary tag {tag.familiar} may be left: {error}'
        return f'the temporary tag {tag.familiar} was kept, as the image has lost its other names: tag it again'
