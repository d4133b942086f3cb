"""Requests for the objects of one bucket, with retries, and errors that name what was requested."""
import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from occystrap_core import ImageNotFound, InvalidImage, ServiceError, Settings
from occystrap_core.files import ByteStream
from occystrap_core.oci import MANIFEST_CAP, Digest
from occystrap_s3.bucket.attempts import Attempts
from occystrap_s3.bucket.connection import Connection
from occystrap_s3.bucket.failures import (
    CutShort, TooSlow, code_of, explain, is_conflict, is_missing, lacks_conditions,
)
from occystrap_s3.bucket.layer_body import LayerBody
from occystrap_s3.bucket.object_body import ObjectBody
from occystrap_s3.bucket.request_rate import wait_for_turn

T = TypeVar('T')

_ARCHIVES = frozenset(('GLACIER', 'DEEP_ARCHIVE'))
"""Storage classes of objects that cannot be read; those of GLACIER_IR can."""
_MOST_KEYS = 1_000_000
"""Largest number of keys in one list."""


class NoBucket(ServiceError):
    """The bucket does not exist, so nothing is in it."""


class Conflict(ServiceError):
    """The condition of a write did not hold: another client has written."""


class NoConditions(ServiceError):
    """The server does not support conditional writes."""


def unchanged(version: str) -> dict[str, str]:
    """Return the condition of a write: the object still has this ETag or, if that is empty, there is none."""
    return {'IfMatch': version} if version else {'IfNoneMatch': '*'}


class StoredObject(NamedTuple):
    """The server's report about an object: its size in bytes, and the sha256 that it computed when it received the
    object.

    `checksum` is in base64; for an object sent in parts it is that of the parts' checksums, with their number; it is
    empty if the object was stored without one. `is_archived`: the server reports all that, but not the bytes, before
    somebody restores the object, which takes hours.
    """

    size: int
    checksum: str
    is_archived: bool = False

    @property
    def digest(self) -> Digest | None:
        """The sha256 of the whole object, None if the stored checksum is another one."""
        try:
            raw = base64.b64decode(self.checksum, validate=True)
        except ValueError:  # for example of an object that was sent in parts
            return None
        return Digest.of_hex(raw.hex()) if len(raw) == hashlib.sha256().digest_size else None


class Bucket:
    """The objects of one bucket; for several threads."""

    def __init__(self, name: str, connection: Connection, settings: Settings) -> None:
        self.name, self.connection, self.settings = name, connection, settings

    def __str__(self) -> str:
        return f's3://{self.name}'

    def for_cleanup(self) -> 'Bucket':
        """Return the bucket with settings for cleaning up after a signal."""
        return Bucket(self.name, self.connection, self.settings.for_cleanup())

    def require(self, prefix: str) -> None:
        """Raise NoBucket, AccessDenied, ServiceError unless objects can be listed; asked once a run.

        Without the right to list, users get the same answer for a missing object as for a forbidden one.
        """
        self.settings.shared.get((Bucket, self.connection, self.name, prefix), lambda: bool(
            self._ask('list_objects_v2', f'{self}/{prefix}', Prefix=prefix, MaxKeys=1)))

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys with this prefix, in order; raises ServiceError, also if there are too many."""
        more: dict[str, str] = {}
        asked, count = set[str](), 0
        while True:
            page = self._ask('list_objects_v2', f'{self}/{prefix}', Prefix=prefix, **more)
            keys = [key for each in page.get('Contents', ()) if (key := each.get('Key', '')).startswith(prefix)]
            yield from keys
            if not page.get('IsTruncated'):
                return
            following, count = page.get('NextContinuationToken', ''), count + len(keys)
            if following in asked or not following or count > _MOST_KEYS:
                raise ServiceError(f'{self}/{prefix}: {self.endpoint} sends an endless list: {count} keys on '
                                   f'{len(asked) + 1} pages so far; give the name of an image')
            asked.add(following)
            more = {'ContinuationToken': following}

    def directories(self, prefix: str) -> Sequence[str]:
        """Return the first names below a prefix, which ends with a slash, that other keys begin with; raises
        ServiceError."""
        page = self._ask('list_objects_v2', f'{self}/{prefix}', Prefix=prefix, Delimiter='/')
        found = (str(each.get('Prefix', '')) for each in page.get('CommonPrefixes', ()))
        return [each.removeprefix(prefix).strip('/') for each in found]

    def look(self, key: str) -> StoredObject | None:
        """Return the server's report about an object, None if there is none; raises ServiceError."""
        try:
            head = self._ask('head_object', f'{self}/{key}', Key=key, ChecksumMode='ENABLED')
        except ImageNotFound:
            return None
        return StoredObject(head.get('ContentLength', -1), head.get('ChecksumSHA256') or '', _is_archived(head))

    def document(self, key: str, cap: int = MANIFEST_CAP) -> tuple[bytes, str]:
        """Return a small object and its ETag; raises ImageNotFound, InvalidImage if it is larger than `cap` bytes,
        ServiceError."""
        read = bytearray()
        with ByteStream(body := self.open(key), what=f'{self}/{key}') as stream:
            for piece in stream.chunks():
                read += piece
                if len(read) > cap:
                    raise InvalidImage(f'{self}/{key} has more than the {cap} bytes that are expected')
        return bytes(read), body.version

    def open(self, key: str, offset: int = 0) -> ObjectBody:
        """Return the bytes of an object from an offset on; raises ImageNotFound, ServiceError."""
        return ObjectBody(lambda start, version: self._get(key, start, version), self.settings, offset,
                          lambda error: self._error(error, f'{self}/{key}'), self.endpoint)

    def put(self, key: str, raw: bytes, content_type: str = 'application/json', **conditions: str) -> None:
        """Write a small object; the server checks its sha256. Raises Conflict if IfMatch or IfNoneMatch does not hold,
        ServiceError."""
        self._ask('put_object', f'{self}/{key}', Key=key, Body=raw, ContentType=content_type,
                  ChecksumSHA256=checksum_of(Digest.of(raw)), **conditions)

    def send(self, key: str, open_stream: Callable[[], ByteStream], digest: Digest, size: int, **part: Any,
             ) -> Mapping[str, Any]:
        """Write an object of known sha256, or a `part` of one, from a stream that is opened again for each attempt.

        The server refuses other bytes. Returns its answer; raises what the stream raises, ServiceError.
        """
        operation = 'upload_part' if part else 'put_object'

        def attempt() -> Mapping[str, Any]:
            with open_stream() as stream:
                body = LayerBody(stream, self.settings)
                return self._sending(body, operation, Key=key, ContentLength=size, ChecksumSHA256=checksum_of(digest),
                                     **part)
        return self._explained(f'{self}/{key}', lambda: Attempts(self.settings, self.endpoint).of(attempt))

    def _sending(self, body: LayerBody, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """Return the answer; if there is none because the body failed, raise the error of the body."""
        try:
            return self._timed(operation, Body=body, **parameters)
        except Exception:
            if body.failure:
                raise body.failure from None
            raise

    def ask(self, operation: str, key: str, **parameters: Any) -> Mapping[str, Any]:
        """Return the answer to a request about a key; raises as `document` does."""
        return self._ask(operation, f'{self}/{key}', Key=key, **parameters)

    def _get(self, key: str, offset: int, version: str | None) -> Mapping[str, Any]:
        """Return the answer to GET; an empty object has no first byte for a range."""
        more = {'Range': f'bytes={offset}-'} if offset else {}
        return self._ask('get_object', f'{self}/{key}', Key=key, **more, **({'IfMatch': version} if version else {}))

    def _ask(self, operation: str, where: str, **parameters: Any) -> Mapping[str, Any]:
        attempts = Attempts(self.settings, self.endpoint)
        return self._explained(where, lambda: attempts.of(lambda: self._timed(operation, **parameters)))

    def _timed(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        wait_for_turn(self.connection, self.settings)
        ask: Callable[..., Mapping[str, Any]] = getattr(self._client(), operation)
        try:
            return ask(Bucket=self.name, **parameters)
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # boto3's parser of answers
            raise ServiceError(f'{self}: the answer of {self.endpoint} to {operation} is not valid S3: {error}'
                               ) from None

    def _explained(self, where: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:
            raise self._error(error, where) from None

    def _error(self, error: Exception, where: str) -> Exception:
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError
        if not isinstance(error, (BotoCoreError, ClientError, HTTPError, TooSlow, CutShort)):
            return error
        if is_missing(error):
            return ImageNotFound(f'{where} does not exist')
        if code_of(error) == 'NoSuchBucket':
            return NoBucket(str(explain(error, str(self), self.endpoint)))
        if is_conflict(error):
            return Conflict(f'{where} was changed meanwhile; try again')
        if lacks_conditions(error):
            return NoConditions(f'{where}: the server does not support conditional writes')
        return explain(error, where, self.endpoint)

    @property
    def endpoint(self) -> str:
        """The address of the server, for messages."""
        return self.connection.endpoint or 'Amazon S3'

    def _client(self) -> Any:
        return self.connection.client(self.settings)


def _is_archived(head: Mapping[str, Any]) -> bool:
    """Return whether an object is in an archive, by its class or because nobody has read it for long, and has no copy
    that was restored for some days."""
    is_there = head.get('StorageClass') in _ARCHIVES or head.get('ArchiveStatus')
    return bool(is_there) and 'ongoing-request="false"' not in (head.get('Restore') or '')


def checksum_of(digest: Digest) -> str:
    """Return a sha256 in the form that S3 uses."""
    return base64.b64encode(bytes.fromhex(digest.hex)).decode()
