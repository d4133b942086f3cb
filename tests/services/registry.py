"""Real registries: `docker-registry` of Debian (distribution 2.8), each with its own storage directory."""

import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt

from tests.services.certificates import Authority, Certificate, self_signed
from tests.services.directories import service_directory
from tests.services.ports import LOOPBACK, free_port, own_address
from tests.services.processes import running
from tests.services.registry_storage import RegistryStorage
from tests.services.requirements import require_program
from tests.services.token_server import ISSUER, SERVICE, TokenServer, token_server

USER = 'tester'
PASSWORD = 'correct horse:battery'


@dataclass(frozen=True)
class Registry(RegistryStorage):
    """A running registry; it caches nothing, so what happens to its storage is seen at once."""

    host: str
    log: Path
    user: str | None = None
    password: str | None = None
    ca: Path | None = None
    tokens: TokenServer | None = None
    client: Certificate | None = None

    @property
    def url(self) -> str:
        """The base address, `http://…` or with a `ca` `https://…`."""
        return f'{"https" if self.ca else "http"}://{self.host}'

    def requests(self) -> list[str]:
        """All answered requests so far, in order, as `METHOD /v2/… STATUS`."""
        line = r'"(\w+) (\S+) HTTP/[\d.]+" (\d+) '
        return [' '.join(found) for found in re.findall(line, self.log.read_text())]


def plain_registry(root: Path | None = None, address: str = LOOPBACK) -> AbstractContextManager[Registry]:
    """An open registry over HTTP, empty or with the storage in `root` (which it may change)."""
    return _serve(root, address=address)


@contextmanager
def private_registry() -> Iterator[Registry]:
    """A registry over HTTP where everything needs basic authentication as `USER` with `PASSWORD`."""
    with service_directory('htpasswd') as directory:
        passwords = directory / 'htpasswd'
        passwords.write_text(f'{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=4)).decode()}\n')
        auth = {'htpasswd': {'realm': 'tests', 'path': str(passwords)}}
        with _serve(auth=auth, user=USER, password=PASSWORD) as registry:
            yield registry


@contextmanager
def token_registry(root: Path | None = None) -> Iterator[Registry]:
    """A registry over HTTP with bearer tokens: anyone pulls, `USER` with `PASSWORD` also pushes; `root` as above."""
    with service_directory('token') as directory:
        certificate = self_signed(directory)
        with token_server(certificate, {USER: PASSWORD}) as tokens:
            auth = {'token': {
                'realm': tokens.realm, 'service': SERVICE, 'issuer': ISSUER,
                'rootcertbundle': str(certificate.certificate),
            }}
            with _serve(root, auth=auth, user=USER, password=PASSWORD, tokens=tokens) as registry:
                yield registry


@contextmanager
def tls_registry() -> Iterator[Registry]:
    """An open registry over HTTPS (HTTP/2 too) with a self-signed certificate: trust its `ca`."""
    with service_directory('tls') as directory:
        certificate = self_signed(directory)
        tls = {'certificate': str(certificate.certificate), 'key': str(certificate.key)}
        with _serve(tls=tls, ca=certificate.certificate) as registry:
            yield registry


@contextmanager
def certified_registry(*, root: Path | None = None, clients: bool = False, name: str = '', expired: bool = False,
                       ) -> Iterator[Registry]:
    """An open registry over HTTPS at this machine's own address, where no client is lenient; trust its `ca`.

    The authority `ca` signed its certificate: for its address or `name`, `expired` or not. With `clients` it wants a
    certificate of the same authority, such as its `client`.
    """
    with service_directory('certified') as directory:
        authority, address = Authority(directory), own_address()
        pair = authority.sign('server', name or address, expired=expired)
        tls: dict[str, Any] = {'certificate': str(pair.certificate), 'key': str(pair.key)}
        if clients:
            tls['clientcas'] = [str(authority.certificate)]
        own = authority.sign('client')
        with _serve(root, tls=tls, address=address, ca=authority.certificate, client=own) as registry:
            yield registry


@contextmanager
def _serve(
    root: Path | None = None, *, auth: dict[str, Any] | None = None, tls: dict[str, Any] | None = None,
    address: str = LOOPBACK, **details: Any,
) -> Iterator[Registry]:
    program = require_program('docker-registry', 'docker-registry')
    with service_directory('registry') as directory:
        host = f'{address}:{free_port(address)}'
        registry = Registry(root or directory / 'storage', host, directory / 'log', **details)
        config = directory / 'config.yml'
        config.write_text(json.dumps(_config(registry, auth, tls)))
        with running([program, 'serve', str(config)], log=registry.log, ready=lambda: answers(registry)):
            yield registry


def _config(registry: Registry, auth: dict[str, Any] | None, tls: dict[str, Any] | None) -> dict[str, Any]:
    # JSON is YAML. No `cache` under `storage`: a cached descriptor would hide damage on disk.
    http = {'addr': registry.host, 'secret': 'not secret', **({'tls': tls} if tls else {})}
    storage = {'filesystem': {'rootdirectory': str(registry.root)}, 'delete': {'enabled': True}}
    config = {'version': 0.1, 'log': {'level': 'info'}, 'storage': storage, 'http': http}
    return {**config, 'auth': auth} if auth else config


def answers(registry: Registry) -> bool:
    """Whether it answers requests, if only to refuse them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whether it is good is the tests' affair
    if registry.client:
        context.load_cert_chain(registry.client.certificate, registry.client.key)
    try:
        with urllib.request.urlopen(f'{registry.url}/v2/', timeout=5, context=context):
            return True
    except urllib.error.HTTPError as answer:
        return answer.code == 401
    except OSError:
        return False
