"""A daemon on another machine: the ssh command, which runs the engine's own `system dial-stdio` there.

The connection to ssh is a socket, so that timeouts work as for any other daemon.
"""
import http.client
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from occystrap_core import UsageError
from occystrap_docker.connection.address import Address
from occystrap_docker.connection.engines import PODMAN
from occystrap_docker.connection.limited_client import LimitedClient

_OPTIONS = ('-T', '-o', 'BatchMode=yes')
_SECONDS_TO_END = 2
"""How long ssh may take to say why it ends."""
_SECONDS_TO_OBEY = 0.3
"""How long ssh may take to end when it is asked to, before it is killed: Ctrl-C is obeyed within 2 s."""


class SshProcesses:
    """The ssh processes of a run; if a signal ends the run while a thread waits for some of them, they end with it."""

    def __init__(self) -> None:
        self._adapters: list[_Adapter] = []

    def add(self, adapter: '_Adapter') -> None:
        """Add a client whose processes must end with the run."""
        self._adapters.append(adapter)

    def close(self) -> None:
        """End all processes; those of closed clients have ended."""
        while self._adapters:
            self._adapters.pop().close()


class SshClient(LimitedClient):
    """A client that sends everything through ssh."""

    def __init__(self, address: Address, processes: SshProcesses, timeout: float, **arguments: Any) -> None:
        """Raises UsageError when the address is invalid for ssh, or ssh is not installed."""
        self._through_ssh = _Adapter(_command(address, timeout), timeout)
        processes.add(self._through_ssh)
        try:
            super().__init__(address, base_url='unix:///ssh', timeout=timeout, **arguments)
        except BaseException:
            self._through_ssh.close()
            raise

    def get_adapter(self, url: str | bytes) -> HTTPAdapter:
        """Return the adapter for ssh, for every URL."""
        return self._through_ssh

    def close(self) -> None:
        """Close all connections."""
        self._through_ssh.close()
        super().close()


def _command(address: Address, timeout: float) -> list[str]:
    """Return the command whose stdin and stdout are the daemon's; it does not ask for passwords."""
    if not shutil.which('ssh'):
        raise UsageError(f'{address} needs the ssh command, which is not installed: apt-get install openssh-client')
    try:
        url = urlsplit(address.url)
        port = url.port
    except ValueError:
        url, port = urlsplit(''), None
    if not url.hostname or url.query or url.fragment:
        raise UsageError("the Docker daemon's address is malformed: give ssh://[USER@]HOST[:PORT][/PATH/TO/SOCKET]")
    user = ['-l', unquote(url.username)] if url.username else []
    return ['ssh', *_OPTIONS, '-o', f'ConnectTimeout={max(1, round(timeout))}', *user,
            *(['-p', str(port)] if port else []), '--', url.hostname, _remote(address, unquote(url.path))]


def _remote(address: Address, path: str) -> str:
    """Return the remote command: the engine's own, with a socket if the address names one."""
    flag = '--url' if address.engine is PODMAN else '--host'
    where = [flag, f'unix://{path}'] if path.strip('/') else []
    return shlex.join([address.engine.name, *where, 'system', 'dial-stdio'])


class _Adapter(HTTPAdapter):
    """Gives requests our connections."""

    def __init__(self, command: list[str], timeout: float) -> None:
        super().__init__()
        self._pool = _Pool(command, timeout)

    def get_connection_with_tls_context(self, *arguments: Any, **more: Any) -> urllib3.HTTPConnectionPool:
        return self._pool

    def get_connection(self, *arguments: Any, **more: Any) -> urllib3.HTTPConnectionPool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        return request.path_url

    def close(self) -> None:
        self._pool.end()
        super().close()


class _Connection(urllib3.connection.HTTPConnection):
    """One ssh process; an answer that is still to come can be read after `close`, as HTTP libraries require."""

    def __init__(self, *arguments: Any, command: list[str], made: list['_Connection'], **more: Any) -> None:
        """The new connection is appended to `made`; the other arguments are those that the pool passes."""
        super().__init__(*arguments, **more)
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: Any = None
        made.append(self)

    def connect(self) -> None:
        self.end()
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()
        with theirs:
            self._process = subprocess.Popen(
                self._command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._stderr,
                start_new_session=True)  # so that Ctrl-C reaches this program only
        ours.settimeout(self.timeout)
        self.sock = ours

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        try:
            return super().getresponse()
        except (http.client.HTTPException, ConnectionError):
            if complaint := self._complaint():
                raise OSError(0, f'ssh says: {complaint}') from None
            raise

    def _complaint(self) -> str:
        """Return the last line of stderr, if ssh or the remote command has ended."""
        assert self._process
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            return ''
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors='replace').split('\n')
        return next((line.strip() for line in reversed(lines) if line.strip()), '')[:300]

    def terminate(self) -> None:
        """Ask the process to end."""
        if process := self._process:
            process.terminate()

    def end(self) -> None:
        """End the process of an earlier connection."""
        process, self._process = self._process, None  # another thread may do the same
        if process:
            process.terminate()
            try:
                process.wait(_SECONDS_TO_OBEY)
            except subprocess.TimeoutExpired:
                process.kill()
            self._stderr.close()


class _Pool(urllib3.HTTPConnectionPool):
    """Keeps connections and their processes until `end`."""

    ConnectionCls = _Connection

    def __init__(self, command: list[str], timeout: float) -> None:
        self._made: list[_Connection] = []
        super().__init__('localhost', timeout=timeout, maxsize=10, command=command, made=self._made)

    def end(self) -> None:
        """Close all connections and end their processes."""
        self.close()
        for each in self._made:
            each.terminate()
        while self._made:
            self._made.pop().end()
