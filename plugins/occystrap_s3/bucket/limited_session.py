"""Sends requests for boto3, which limits neither the size of a document nor the time for receiving a head.

Imported only when a bucket is used, like boto3.
"""
import os
import queue
import threading
import time
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from occystrap_core import ServiceError
from occystrap_core.files import CHUNK

_LARGEST = 64 << 20
"""Size limit for a document, in bytes: a list of a thousand objects with the longest keys has a tenth of that."""
_LONGEST = 900.0
"""Seconds for receiving a document: while a server combines parts, it sends spaces."""


class LimitedSession:
    """The requests of one client, whose event `before-send` is handled by `send`."""

    def __init__(self, endpoint: str, ca_bundle: str | None, connect: float, read: float, connections: int) -> None:
        """`connect` and `read` are the seconds for connecting, and for receiving the head of an answer."""
        verify = ca_bundle or os.environ.get('REQUESTS_CA_BUNDLE') or True
        self._session = URLLib3Session(verify, get_environ_proxies(endpoint), (connect, read), connections)
        self._seconds = connect + read

    def send(self, request: AWSPreparedRequest, **others: Any) -> 'Answer':
        """Return the answer; raises as boto3's own session does, and ReadTimeoutError for a head that takes too long.
        """
        request.stream_output = True
        if request.body is not None and not isinstance(request.body, bytes):  # such a body has its own time limit
            return Answer(self._session.send(request))
        done: queue.SimpleQueue[AWSResponse | BaseException] = queue.SimpleQueue()
        threading.Thread(target=self._send, args=(request, done), name='s3 request', daemon=True).start()
        try:
            found = done.get(timeout=self._seconds)
        except queue.Empty:
            raise ReadTimeoutError(endpoint_url=request.url) from None
        if isinstance(found, BaseException):
            raise found
        return Answer(found)

    def _send(self, request: AWSPreparedRequest, done: 'queue.SimpleQueue[AWSResponse | BaseException]') -> None:
        try:
            done.put(self._session.send(request))
        except BaseException as error:
            done.put(error)


class Answer:
    """An answer as boto3 uses it: `raw` is the body of an object, `content` a document."""

    def __init__(self, answer: AWSResponse) -> None:
        self.url, self.status_code, self.headers, self.raw = answer.url, answer.status_code, answer.headers, answer.raw
        self._content: bytes | None = None

    @property
    def content(self) -> bytes:
        """The document; raises ServiceError for one that is too large, ReadTimeoutError for one that takes too long."""
        if self._content is None:
            try:
                self._content = self._read()
            finally:
                self.raw.close() if self._content is None else self.raw.release_conn()
        return self._content

    def _read(self) -> bytes:
        read, end = bytearray(), time.monotonic() + _LONGEST
        while piece := self.raw.read1(CHUNK):
            read += piece
            if len(read) > _LARGEST:
                raise ServiceError(f'{self.url.partition("?")[0]} answers with more than {_LARGEST >> 20} MiB where a '
                                   'document is expected; check endpoint= and the bucket')
            if time.monotonic() > end:
                raise ReadTimeoutError(endpoint_url=self.url)
        return bytes(read)
