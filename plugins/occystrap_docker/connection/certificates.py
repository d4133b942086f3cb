"""TLS with a daemon: ca.pem checks its certificate; cert.pem and key.pem are the client's own."""
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from occystrap_core import Place, UsageError
from occystrap_core.files import home_path

if TYPE_CHECKING:
    from docker.tls import TLSConfig

_FILES = ('ca.pem', 'cert.pem', 'key.pem')


class Certificates(NamedTuple):
    """A directory with certificates as the docker command names them, None for the authorities that Python trusts.

    Without `verify` the daemon's certificate is not checked.
    """

    directory: str | None
    verify: bool = True

    def config(self, url: str) -> 'TLSConfig':
        """Return the configuration for the docker SDK; raises UsageError when the directory lacks a file."""
        from docker.tls import TLSConfig
        if self.directory is None:
            return TLSConfig(verify=self.verify)
        ca, certificate, key = (str(Path(self.directory) / name) for name in _FILES)
        there = {path: _readable(path, url) for path in (ca, certificate, key)}
        if not any(there.values()) or there[certificate] != there[key]:
            missing = ' and '.join(path for path in (certificate, key) if not there[path])
            raise UsageError(f'the certificates for the Docker daemon at {url} are incomplete: {missing} is missing; '
                             'check cert_path= and DOCKER_CERT_PATH')
        return TLSConfig(client_cert=(certificate, key) if there[key] else None,
                         ca_cert=ca if there[ca] else None, verify=self.verify)


def find_certificates(url: str, options: Mapping[str, Any], environment: bool) -> Certificates | None:
    """Return the certificates for a daemon, None without TLS; raises UsageError for options that have no effect.

    With `environment` DOCKER_CERT_PATH and DOCKER_TLS_VERIFY are used if neither option is given. An empty
    DOCKER_TLS_VERIFY with a DOCKER_CERT_PATH means TLS without checking the daemon's certificate.
    """
    directory, verify = options.get('cert_path') or None, options.get('tls_verify')
    if not url.startswith(('tcp://', 'https://')):
        if directory or verify is not None:
            raise UsageError(f'docker://: {"cert_path" if directory else "tls_verify"}= needs a daemon at '
                             f'tcp://HOST:PORT, not {url}')
        return None
    if environment and directory is None and verify is None:
        directory, value = os.environ.get('DOCKER_CERT_PATH') or None, os.environ.get('DOCKER_TLS_VERIFY')
        verify = bool(value) if value is not None and (value or directory) else None
    if directory:
        return Certificates(Place.absolute(directory), verify is not False)
    if verify or url.startswith('https://'):
        return Certificates(_usual_directory(), verify is not False)
    return None


def config_directory() -> Path | None:
    """Return the configuration directory of the docker command, None for a user without a home directory."""
    named = os.environ.get('DOCKER_CONFIG') or home_path('.docker')
    return Path(named) if named else None


def _usual_directory() -> str | None:
    """Return the directory where the docker command looks for certificates, None if it has none."""
    directory = config_directory()
    return (Place.absolute(str(directory)) if directory and any(os.path.exists(directory / name) for name in _FILES)
            else None)


def _readable(path: str, url: str) -> bool:
    """Return whether a file exists; raises UsageError when it cannot be read."""
    try:
        with open(path, 'rb'):
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f'the certificates for the Docker daemon at {url} cannot be used: {path}: {error.strerror}; '
                         'check cert_path= and DOCKER_CERT_PATH') from None
