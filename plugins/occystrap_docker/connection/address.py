"""The address of a daemon: from options, the environment, Docker's contexts, or the engine's default sockets."""
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from occystrap_core import Place, UsageError
from occystrap_core.oci import Reference
from occystrap_docker.connection.certificates import Certificates, find_certificates
from occystrap_docker.connection.contexts import DEFAULT, chosen_context, read_context
from occystrap_docker.connection.engines import DOCKER, PODMAN, Engine

UNIX = 'unix://'
_LONGEST = 107
_SCHEMES = (UNIX, 'tcp://', 'http://', 'https://', 'ssh://')
_PASSWORD = re.compile(r'^(?!ssh://|unix://).*@|^ssh://[^/@]*:[^/@]*@', re.DOTALL)
_PORT = re.compile(r'^[a-z]+://[^/]+:[0-9]+(/.*)?$')
_HUB = ('', 'docker.io', 'index.docker.io')
_PLACES = ('socket', 'host', 'context')
_TLS = ('cert_path', 'tls_verify')


class Address(NamedTuple):
    """A daemon's address: its URL, what named it (empty for a default socket), and the default sockets tried.

    `in_registry` is the image's URI in the registry that its name begins with, for messages; empty without one.
    """

    url: str
    engine: Engine = DOCKER
    origin: str = ''
    certificates: Certificates | None = None
    candidates: tuple[str, ...] = ()
    in_registry: str = ''

    def __str__(self) -> str:
        return self.url

    def of_image(self, reference: Reference) -> 'Address':
        """Return the address for requests about an image."""
        return self if reference.host.lower() in _HUB else self._replace(in_registry=f'registry://{reference}')

    def place(self, reference: Reference) -> Place:
        """Return the place of an image: the daemon, independent of its address's spelling, and the image's complete
        name."""
        name = str(complete_name(reference))
        if self.url.startswith(UNIX):
            return Place.at(self.url.removeprefix(UNIX), name)
        scheme, _, rest = self.url.partition('://')
        user, at, where = rest.partition('/')[0].rpartition('@')
        host = Place.canonical_host(where, 22) if scheme == 'ssh' else Place.canonical_host(where)
        kind = scheme if scheme == 'ssh' else 'tcp'  # http and https are synonyms
        return Place('', f'{kind}://{user}{at}{host}/{rest.partition("/")[2].strip("/")}#{name}')

    def as_options(self) -> dict[str, str]:
        """Return options that select this daemon independently of environment and contexts; they hold no secrets."""
        options = {'host': self.url} | ({'engine': self.engine.name} if self.engine is PODMAN else {})
        if self.certificates and self.certificates.directory:
            options['cert_path'] = self.certificates.directory
        if self.url.startswith(('tcp://', 'https://')):
            options['tls_verify'] = str(bool(self.certificates and self.certificates.verify)).lower()
        return options


def complete_name(reference: Reference) -> Reference:
    """Return a name with the host and `library/` that daemons add to a short one."""
    host = 'docker.io' if reference.host.lower() in _HUB else reference.host.lower()
    short = host == 'docker.io' and '/' not in reference.repository
    return reference._replace(host=host, repository='library/' * short + reference.repository)


def find_address(options: Mapping[str, Any]) -> Address:
    """Return the address that the options select; raises UsageError for an invalid address or contradicting options.

    The order is that of the docker command: options, DOCKER_HOST, DOCKER_CONTEXT, the current context, the default
    socket. With engine=podman: options, CONTAINER_HOST, Podman's default sockets.
    """
    engine = PODMAN if options.get('engine') == PODMAN.name else DOCKER
    _refuse_contradictions(options, engine)
    if given := options.get('socket'):
        return _address(given if '://' in given else f'unix://{Place.absolute(given)}', engine, 'socket=', options)
    if given := options.get('host'):
        return _address(given, engine, 'host=', options)
    named = options.get('context') or ''
    if named in ('', DEFAULT) and (given := os.environ.get(engine.variable)):
        return _address(given, engine, engine.variable, options)
    if engine is DOCKER:
        name, origin = (named, 'context=') if named else chosen_context()
        if name != DEFAULT:
            return _of_context(name, origin, options)
    places = engine.sockets()
    found = next((place for place in places if os.path.exists(place)), places[0])
    return _address(f'unix://{found}', engine, '', options, tuple(places))


def _refuse_contradictions(options: Mapping[str, Any], engine: Engine) -> None:
    places = [name for name in _PLACES if options.get(name)]
    if len(places) > 1:
        raise UsageError(f'docker://: {"= and ".join(places)}= contradict each other: give one of them')
    if 'context' in places and engine is PODMAN:
        raise UsageError('docker://: context= does not work with engine=podman: give one of them')


def _address(url: str, engine: Engine, origin: str, options: Mapping[str, Any], candidates: tuple[str, ...] = (),
             ) -> Address:
    _check(url, origin)
    return Address(url, engine, origin, find_certificates(url, options, engine is DOCKER), candidates)


def _of_context(name: str, origin: str, options: Mapping[str, Any]) -> Address:
    """Return the address of a context; raises UsageError when options for certificates are given as well."""
    context = read_context(name, origin)
    source = f'context {name!r}, from {origin}'
    _check(context.host, source)
    for option in _TLS:
        if options.get(option) is not None:
            raise UsageError(f'docker://: {source}, has its own certificates: leave out {option}=')
    return Address(context.host, DOCKER, source, context.certificates)


def _check(url: str, origin: str) -> None:
    """Raise UsageError for an invalid address."""
    if _PASSWORD.match(url):
        raise UsageError('the address of a Docker daemon takes no password: use keys (ssh) or certificates (tcp)')
    source = f' ({origin})' if origin else ''
    if not url.startswith(_SCHEMES):
        raise UsageError(f'{origin} is not the address of a Docker daemon: it must begin with {", ".join(_SCHEMES)}')
    if url.startswith(UNIX):
        _check_path(url.removeprefix(UNIX), source)
    if url.startswith(('tcp://', 'http')) and not _PORT.match(url):
        raise UsageError(f'the address of the Docker daemon{source} has no port: give tcp://HOST:PORT, usually 2376 '
                         'with TLS, 2375 without')


def _check_path(path: str, source: str) -> None:
    """Raise UsageError for a path that no socket can have (unix(7)), or that the Docker SDK would cut off."""
    if not path.startswith('/') or path.endswith('/'):
        raise UsageError(f'the address of the Docker daemon{source} has no path of a socket: give {UNIX}/PATH')
    if len(os.fsencode(path)) > _LONGEST:
        raise UsageError(f'{path}{source} is too long for a socket (limit: {_LONGEST} bytes): make a symlink to it '
                         'with a shorter path')
    if special := set(path) & set('#?%'):
        raise UsageError(f'{path}{source} cannot be reached because of {" and ".join(sorted(special))} in it: make a '
                         'symlink to it with another name')
