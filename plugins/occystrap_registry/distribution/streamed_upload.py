"""Sending a blob while it is made: one PATCH of unknown length (RFC 9112, 7.1), completed by a PUT with its digest.

Docker, podman and skopeo push what they compress in this way. Registries that refuse it get the blob when it is
complete.
"""
from collections.abc import Callable

from occystrap_core.oci import Descriptor
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.upload_session import (
    ELSEWHERE, TAKEN, UploadSession, is_stored, open_session, refusal,
)
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import Body
from occystrap_registry.transport.http_stream import TooSlow
from occystrap_registry.transport.transport_errors import TransportError

_BREAKS = 2
"""After this many requests without an answer, the blob is made first, since such an upload can be resumed."""


class StreamedUpload:
    """Sends one blob whose digest and size are not known until its end."""

    def __init__(self, client: RegistryClient, body: Body, made: Callable[[], Descriptor | None],
                 has: Callable[[Descriptor], bool]) -> None:
        """`body` makes the bytes again for each attempt; `made` returns the blob after its last byte, None before;
        `has` asks the registry whether it has a blob."""
        self._client, self._body, self._made, self._has = client, body, made, has
        self._scope = client.address.push_scope

    def send(self) -> Descriptor | None:
        """Return the blob that the registry has then; None if it refuses this way of sending, or connections break.

        Raises OutputError for a blob that was stored with another digest, ServiceError.
        """
        attempts, breaks = self._client.attempts(), min(_BREAKS, self._client.settings.retries + 1)
        while True:
            session = open_session(self._client)
            if session.in_chunks:
                self._client.dismiss(str(session.url), self._scope)
                return None
            try:
                reply = self._patch(session)
            except TransportError as error:
                breaks -= 1
                if not breaks and isinstance(error, TooSlow):  # a complete blob would be too slow as well
                    raise attempts.explained(error) from None
                if not breaks:
                    return None
                attempts.failed(error)
            else:
                if not attempts.again(reply):
                    return self._end(session, reply)

    def _patch(self, session: UploadSession) -> Reply:
        headers = {'Content-Type': 'application/octet-stream'}
        with self._client.once('PATCH', str(session.url), self._scope, headers, self._body) as answer:
            return answer.whole()

    def _end(self, session: UploadSession, reply: Reply) -> Descriptor | None:
        """Complete an upload after its last byte; an answer that came before the last byte is not taken as success."""
        made = self._made()
        if reply.status in TAKEN and made:
            target = session.moved(reply).end(made.digest)
            reply = self._client.fetch('PUT', target, self._scope, {'Content-Length': '0'})
            if is_stored(self._client, made, reply, lambda: self._has(made)):
                return made
        self._client.dismiss(str(session.url), self._scope)
        if reply.status in ELSEWHERE:
            raise refusal(self._client, reply, made.digest if made else 'that is sent while it is compressed')
        return None
