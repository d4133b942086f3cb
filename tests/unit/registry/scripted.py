"""A web server scripted by a test: it refuses, redirects, breaks connections, and records its requests."""
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from occystrap_core import Location, Settings
from occystrap_core.oci import Reference
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport.address import Address
from tests.services.threaded_server import stop


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query, decoded."""
        return parse_qs(urlsplit(self.target).query)

    @property
    def authorization(self) -> str | None:
        """The header of that name."""
        return self.headers.get('authorization')


@dataclass(frozen=True)
class Answer:
    """One answer; `cut` breaks the connection after so many bytes of the body, `silent` sends no answer at all.

    An `endless` one repeats its body until the client has had enough.
    """

    status: int = 200
    body: bytes = b''
    headers: Sequence[tuple[str, str]] = ()
    cut: int | None = None
    silent: bool = False
    endless: bool = False


Answering = Callable[[Request], Answer]


@dataclass
class Scripted:
    """The server; `routes` has answers by `METHOD /path`, each one, a list to go through, or a function.

    `connections` counts those that were made to it.
    """

    routes: dict[str, Answer | list[Answer] | Answering] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    address: str = '127.0.0.1'
    connections: int = 0
    protocol: str = 'HTTP/1.1'

    def __enter__(self) -> Self:
        handler = type('Handler', (_Handler,), {'script': self, 'protocol_version': self.protocol})
        self._server = _QuietServer((self.address, 0), handler)
        self.host = f'{self.address}:{self._server.server_port}'
        self.routes.setdefault('GET /v2/', Answer())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        stop(self._server)
        self._server.server_close()

    def answer(self, request: Request) -> Answer:
        """Return the answer; the last one of a list is repeated."""
        self.requests.append(request)
        route = self.routes.get(f'{request.method} {request.path}', Answer(404))
        if isinstance(route, list):
            return route.pop(0) if len(route) > 1 else route[0]
        return route if isinstance(route, Answer) else route(request)

    def received(self, method: str, path: str) -> list[Request]:
        """Return the requests of this kind, in order."""
        return [request for request in self.requests if (request.method, request.path) == (method, path)]


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: clients of these tests break off on purpose."""


class _Handler(BaseHTTPRequestHandler):
    script: Scripted
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Count."""
        self.script.connections += 1
        super().setup()

    def _serve(self) -> None:
        chunked = self.headers.get('transfer-encoding') == 'chunked'
        body = self._chunks() if chunked else self.rfile.read(int(self.headers.get('content-length') or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        say = self.script.answer(Request(self.command, self.path, headers, body))
        self.close_connection = say.silent or say.cut is not None
        if not say.silent:
            self._say(say)

    def _chunks(self) -> bytes:
        """Read a body of unknown length (RFC 9112, 7.1); what there is of one that breaks off."""
        body = b''
        while size := int(self.rfile.readline() or b'0', 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _say(self, say: Answer) -> None:
        self.send_response_only(say.status)
        for name, value in say.headers:
            self.send_header(name, value)
        if not {'content-length', 'transfer-encoding'} & {name.lower() for name, _ in say.headers}:
            self.send_header('Content-Length', str(len(say.body)))
        with suppress(BrokenPipeError, ConnectionResetError):
            self.end_headers()
        if self.command != 'HEAD':
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(say.body[:say.cut])
                while say.endless:
                    self.wfile.write(say.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def client_of(host: str, settings: Settings, credentials: tuple[str, str] | None = None) -> RegistryClient:
    """Return a client for the repository `app` at `host`."""
    return RegistryClient(Address(Reference('app', 'v1', None, host), host, credentials=credentials), settings)


def location(path: str, **options: object) -> Location:
    """Return the location of a registry:// URI."""
    return Location('registry', path, options, {})
