"""Sending one blob (distribution-spec, Pushing blobs): by PUT or, if a registry refuses that, by PATCH."""
from collections.abc import Callable
from enum import Enum

from occystrap_core import AccessDenied, ServiceError
from occystrap_core.oci import Descriptor
from occystrap_registry.distribution.chunked_upload import ChunkedUpload
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.upload_session import (
    ELSEWHERE, UploadSession, is_stored, open_session, refusal,
)
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import Body
from occystrap_registry.transport.transport_errors import TransportError

_BREAKS = 2
"""After this many requests without an answer, smaller requests are made, or a small blob is sent in another way."""
_SMALL = 1 << 20
_NO_METHOD = (404, 405, 501)


class Way(Enum):
    """Ways to send a blob; docker, podman and skopeo use the second."""

    WHOLE = 'PUT'
    AT_ONCE = 'one PATCH'
    CHUNKS = 'PATCH in chunks'


class _Refused(Exception):
    """The registry refuses a blob that is sent in one of `ways`.

    Other blobs will be refused in these ways as well, unless this one was `too_large`.
    """

    def __init__(self, error: ServiceError, *ways: Way, too_large: bool = False) -> None:
        super().__init__(str(error))
        self.error, self.ways, self.too_large = error, ways, too_large


class BlobUpload:
    """Sends one blob, trying the ways in order until the registry accepts one."""

    def __init__(self, client: RegistryClient, descriptor: Descriptor, body: Body, has: Callable[[], bool]) -> None:
        """`body` makes the bytes again for each attempt; `has` asks the registry whether it has the blob."""
        self._client, self._descriptor, self._body, self._has = client, descriptor, body, has
        self._attempts, self._broken = client.attempts(), 0

    def send(self, session: UploadSession | None) -> None:
        """Send the blob, and record for the run which ways the registry refuses; `session` is an open upload.

        If connections broke and the registry accepts no other way, the first way is tried again. Raises the first
        refusal as ServiceError, and OutputError for a blob that was stored with another digest.
        """
        refused: dict[Way, ServiceError] = {}
        learned = set[str]()
        while len(refused) < len(Way):
            try:
                session = session or open_session(self._client)
                self._send(self._choose(session, refused), session)
            except _Refused as refusal:
                refused |= {way: refusal.error for way in refusal.ways if way not in refused}
                learned |= set() if refusal.too_large else {way.value for way in refusal.ways}
                session = None
            except ServiceError as error:
                raise next(iter(refused.values()), error) from None
            else:
                self._client.endpoint.refused_ways |= learned
                return
        first = next(iter(refused.values()))
        if not self._broken or not self._attempts.has_more:
            raise first
        try:
            self._put(open_session(self._client), patiently=True)
        except (_Refused, ServiceError):
            raise first from None

    def _choose(self, session: UploadSession, refused: dict[Way, ServiceError]) -> Way:
        """Return the way to try next; those that were refused earlier in this run come last."""
        in_chunks = session.in_chunks or self._descriptor.size > self._client.endpoint.largest
        order = (Way.CHUNKS, Way.WHOLE, Way.AT_ONCE) if in_chunks else (Way.WHOLE, Way.AT_ONCE, Way.CHUNKS)
        left = [way for way in order if way not in refused]
        return next((way for way in left if way.value not in self._client.endpoint.refused_ways), left[0])

    def _send(self, way: Way, session: UploadSession) -> None:
        if way is Way.WHOLE:
            return self._put(session)
        try:
            reply = ChunkedUpload(self._client, self._descriptor, session, way is Way.AT_ONCE).send(self._body)
        except AccessDenied:
            raise
        except ServiceError as error:
            raise _Refused(error, way) from None
        by_patch = reply.status in _NO_METHOD
        self._require_stored(reply, *((Way.AT_ONCE, Way.CHUNKS) if by_patch else (way,)))

    def _put(self, session: UploadSession, patiently: bool = False) -> None:
        """Send in one request, each attempt to a new upload; `patiently`: with all attempts."""
        attempts, size = self._attempts, self._descriptor.size
        headers = {'Content-Length': str(size), 'Content-Type': 'application/octet-stream'}
        large = (Way.WHOLE, Way.AT_ONCE)
        while True:
            target = session.end(self._descriptor.digest)
            try:
                with self._client.once('PUT', target, self._client.address.push_scope, headers, self._body) as answer:
                    reply = answer.whole()
            except TransportError as error:
                self._broken += 1
                if self._broken >= min(_BREAKS, self._client.settings.retries + 1) and not patiently:
                    attempts.spend()
                    raise _Refused(attempts.explained(error), *(large if size > _SMALL else (Way.WHOLE,))) from None
                attempts.failed(error)
            else:
                if reply.status == 413:
                    self._client.endpoint.refused(size)
                    raise _Refused(self._failure(reply), *large, too_large=True)
                if not attempts.again(reply):
                    return self._require_stored(reply, Way.WHOLE)
            session = open_session(self._client)

    def _require_stored(self, reply: Reply, *ways: Way) -> None:
        """Raise an error unless the registry has the blob after the last answer."""
        if is_stored(self._client, self._descriptor, reply, self._has):
            return
        if reply.status in ELSEWHERE:
            raise self._failure(reply)
        raise _Refused(self._failure(reply), *ways, too_large=reply.status == 413)

    def _failure(self, reply: Reply) -> ServiceError:
        return refusal(self._client, reply, self._descriptor.digest)
