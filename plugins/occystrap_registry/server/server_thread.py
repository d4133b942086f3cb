"""Running the registry inside another program: on a thread of its own, on loopback, on a free port."""
import asyncio
import logging
import math
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import uvicorn
from starlette.routing import Route

from occystrap_core import ServiceUnavailable
from occystrap_registry.server.access import Access, OnePassword, Rules
from occystrap_registry.server.application import registry_application
from occystrap_registry.server.callers import CallerProtocol, Callers
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.exchange import ExchangeLog, Observer
from occystrap_registry.server.handlers import Handlers
from occystrap_registry.server.recent_images import RecentImages
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.upload_files import Uploads

_STARTING = 10.0
_STOPPING = 1.0
_TICK = 0.1


class _QuietServer(uvicorn.Server):
    """A server that reports when it is ready, and stops without uvicorn's fixed delays of a tenth of a second.

    It does not install signal handlers unless it is on the main thread.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and report it."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.ready.set()

    def request_stop(self) -> None:
        """Ask the server to stop; may be called from any thread, also after it has stopped."""
        self.should_exit = True
        if self._loop:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """Serve until asked to stop."""
        tick = 0
        while not await self.on_tick(tick):
            tick = (tick + 1) % 864000
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections; the library waits for current requests."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # lets the loop close the idle connections
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)


class ServerSettings(NamedTuple):
    """How a registry is reached, and by whom. The defaults are for one whose only client is this program."""

    address: str = '127.0.0.1'
    rules: Rules = Rules()
    access: Access = OnePassword('')
    certificate: tuple[Path, Path] | None = None
    """The files of certificate and key for https."""
    strangers: int = 64
    """Limit of waiting connections without an admitted request; more are possible for a moment."""
    connections: int = 256
    """Limit of all connections."""
    drain: float = 1.0
    """Seconds for current requests to end when the server stops."""
    logs: Sequence[ExchangeLog] = ()
    public: Sequence[Route] = ()
    """Additional routes that everybody may use."""
    routes: Sequence[Route] = ()
    """Additional routes for clients that may read the registry."""
    recent: RecentImages | None = None
    """Records processed images."""
    handlers: Handlers = Handlers()
    """The handlers for requests for manifests and blobs."""


class RegistryServer:
    """A registry that runs while the with block does; `host` is its `127.0.0.1:port`."""

    def __init__(self, root: Path | Contents, port: int = 0, observer: Observer | None = None, password: str = '',
                 settings: ServerSettings = ServerSettings()) -> None:
        """`root` is the content: a directory, created if missing, or a storage; port 0 selects a free one.

        All users of the machine can reach the port: without a `password` for the user `occystrap`, or another access
        control in `settings`, they can do whatever the storage permits. Raises ServiceUnavailable if the port is in
        use.
        """
        logging.getLogger('uvicorn').addHandler(logging.NullHandler())  # else its warnings go to stderr
        self._socket = listening_socket(settings.address, port)
        self.host = host_and_port(settings.address, self._socket.getsockname()[1])
        contents = Storage(root) if isinstance(root, Path) else root
        self.uploads = Uploads(contents) if isinstance(contents, Storage) else None
        callers = Callers(settings.strangers, settings.connections)
        access = OnePassword(password) if password else settings.access
        application = registry_application(contents, self.uploads, callers, access, settings.rules, observer,
                                           settings.logs, settings.public, settings.routes, settings.recent,
                                           settings.handlers)
        certificate, key = settings.certificate or (None, None)
        self._drain = settings.drain
        config = uvicorn.Config(application, log_config=None, http=CallerProtocol.of(callers), ws='none',
                                access_log=False, lifespan='off', timeout_keep_alive=60, server_header=False,
                                timeout_graceful_shutdown=math.ceil(settings.drain), proxy_headers=False,
                                ssl_certfile=certificate, ssl_keyfile=key)
        self._server = _QuietServer(config)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name='registry', daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._server.ready.wait(_STARTING):
            raise ServiceUnavailable(f'the embedded registry did not start on {self.host}')
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._server.run([self._socket])
        finally:
            self._ended.set()

    def wait(self) -> None:
        """Wait until the server ends by itself, which it only does after an error.

        A thread cannot be joined for this: Python considers it ended if a signal interrupts joining.
        """
        self._ended.wait()

    def stop(self, at_once: bool = False) -> None:
        """Stop; current requests get some time to end, none with `at_once`."""
        self._server.force_exit = at_once
        self._server.request_stop()
        self._thread.join(self._drain + _STOPPING)
        self._server.force_exit = True
        self._socket.close()


def listening_socket(address: str, port: int) -> socket.socket:
    """Return a socket bound to an address; raises ServiceUnavailable if it is in use, or not of this machine."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    opened = socket.socket(family, proto=socket.IPPROTO_TCP)  # without it asyncio leaves TCP_NODELAY off
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((address, port))
    except OSError as error:
        opened.close()
        raise ServiceUnavailable(f'cannot listen on {host_and_port(address, port)}: {error.strerror}') from None
    return opened


def host_and_port(address: str, port: int) -> str:
    """Return host and port as in a URL."""
    return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'
