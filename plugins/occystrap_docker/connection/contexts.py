"""Docker's contexts: named daemons, stored in ~/.docker/contexts by the docker command (docker context create)."""
import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from occystrap_core import InvalidImage, UsageError
from occystrap_core.oci import parse_json
from occystrap_docker.connection.certificates import Certificates, config_directory

DEFAULT = 'default'
"""The context that stands for DOCKER_HOST or the usual socket."""


class Context(NamedTuple):
    """The daemon of a context."""

    host: str
    certificates: Certificates | None


def chosen_context() -> tuple[str, str]:
    """Return the name of the current context, and what selected it: environment or config.json; raises UsageError."""
    if name := os.environ.get('DOCKER_CONTEXT'):
        return name, 'DOCKER_CONTEXT'
    directory = config_directory()
    if directory is None:
        return DEFAULT, ''
    path = directory / 'config.json'
    config = _read(path)
    return str(config and config.get('currentContext') or DEFAULT), f'currentContext in {path}'


def read_context(name: str, origin: str) -> Context:
    """Return the context of this name; raises UsageError, with the closest name, when there is none."""
    key = hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()
    configuration = config_directory()
    if configuration is None:
        raise UsageError(f'{origin}: this user has no home directory, where docker contexts are: set HOME or '
                         'DOCKER_CONFIG')
    path = configuration / 'contexts/meta' / key / 'meta.json'
    document = _read(path)
    if document is None:
        raise UsageError.unknown(f'{origin}: there is no docker context', name, _names(configuration))
    endpoint = _part(_part(document, 'Endpoints'), 'docker')
    host, lenient = endpoint.get('Host'), bool(endpoint.get('SkipTLSVerify'))
    if not isinstance(host, str) or not host:
        raise UsageError(f'the docker context {name!r} in {path} names no daemon: check docker context inspect {name}')
    directory = os.path.abspath(configuration / 'contexts/tls' / key / 'docker')
    if not host.startswith(('tcp://', 'https://')):
        return Context(host, None)
    if os.path.isdir(directory):
        return Context(host, Certificates(directory, not lenient))
    return Context(host.replace('tcp://', 'https://'), Certificates(None, False)) if lenient else Context(host, None)


def _names(configuration: Path) -> list[str]:
    """Return the names of all contexts."""
    metas = (configuration / 'contexts/meta').glob('*/meta.json')
    return sorted([DEFAULT, *(str((_read(path) or {}).get('Name')) for path in metas)])


def _read(path: Path) -> dict[str, Any] | None:
    """Return the JSON document, None if there is no file; raises UsageError when it cannot be read."""
    try:
        document = parse_json(path.read_bytes(), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f'{path} cannot be read: {error.strerror}; correct that, or choose the daemon with ?host='
                         ) from None
    except InvalidImage:
        document = None
    if not isinstance(document, dict):
        raise UsageError(f'{path} is malformed, so the daemon is not known: correct it, or choose the daemon with '
                         '?host=')
    return document


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}
