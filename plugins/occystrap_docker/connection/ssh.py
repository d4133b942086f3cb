"""A daemon on another machine: the ssh command, run there with the engine's own `system dial-stdio`.

The connection to ssh is a socket, so that time limits hold as for any other daemon.
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
from docker import APIClient
from requests.adapters import HTTPAdapter

from occystrap_core import UsageError
from occystrap_docker.connection.address import Address
from occystrap_docker.connection.engines import PODMAN

_OPTIONS = ('-T', '-o', 'BatchMode=yes')
_SECONDS_TO_END = 2


class SshClient(APIClient):
    """A client that sends everything through ssh."""

    def __init__(self, address: Address, timeout: float, **arguments: Any) -> None:
        """Raises UsageError when the address is none for ssh, or when there is no ssh."""
        self._through_ssh = _Adapter(_command(address, timeout), timeout)
        super().__init__(base_url='unix:///ssh', timeout=timeout, **arguments)  # type: ignore[arg-type]

    def get_adapter(self, url: str | bytes) -> HTTPAdapter:
        """Return the way through ssh, whatever the URL."""
        return self._through_ssh

    def close(self) -> None:
        """End all connections."""
        self._through_ssh.close()
        super().close()


def _command(address: Address, timeout: float) -> list[str]:
    """Return the command whose stdin and stdout are the daemon's; passwords are not asked for."""
    if not shutil.which('ssh'):
        raise UsageError(f'{address} needs the ssh command, which is not there: apt-get install openssh-client')
    try:
        url = urlsplit(address.url)
        port = url.port
    except ValueError:
        url, port = urlsplit(''), None
    if not url.hostname or url.query or url.fragment:
        raise UsageError('the Docker daemon\'s address is not of the form ssh://[USER@]HOST[:PORT][/PATH/TO/SOCKET]')
    user = ['-l', unquote(url.username)] if url.username else []
    return ['ssh', *_OPTIONS, '-o', f'ConnectTimeout={max(1, round(timeout))}', *user,
            *(['-p', str(port)] if port else []), '--', url.hostname, _remote(address, unquote(url.path))]


def _remote(address: Address, path: str) -> str:
    """Return what to run there: the engine's own command, told of a socket if the address names one."""
    flag = '--url' if address.engine is PODMAN else '--host'
    where = [flag, f'unix://{path}'] if path.strip('/') else []
    return shlex.join([address.engine.name, *where, 'system', 'dial-stdio'])


class _Adapter(HTTPAdapter):
    """Has requests use our connections."""

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
    """One ssh process; closing it leaves an answer readable that is still to come, as HTTP libraries want it."""

    def __init__(self, *arguments: Any, command: list[str], made: list['_Connection'], **more: Any) -> None:
        """`made` gets the new connection; the other arguments are those of a pool for its connections."""
        super().__init__(*arguments, **more)
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._said: Any = None
        made.append(self)

    def connect(self) -> None:
        self.end()
        ours, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()
        with theirs:
            self._process = subprocess.Popen(
                self._command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._said,
                start_new_session=True)  # Ctrl-C is for us to handle
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
        """Return the last line that ssh, or the command on the other side, wrote when it ended."""
        assert self._process
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            return ''
        self._said.seek(0)
        lines = self._said.read().decode(errors='replace').split('\n')
        return next((line.strip() for line in reversed(lines) if line.strip()), '')[:300]

    def end(self) -> None:
        """End the process behind an earlier connection."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._said.close()
            self._process = None


class _Pool(urllib3.HTTPConnectionPool):
    """Keeps connections, and the processes behind them, to the end."""

    ConnectionCls = _Connection

    def __init__(self, command: list[str], timeout: float) -> None:
        self._made: list[_Connection] = []
        super().__init__('localhost', timeout=timeout, maxsize=10, command=command, made=self._made)

    def end(self) -> None:
        """Close what is open and end what runs."""
        self.close()
        while self._made:
            self._made.pop().end()
