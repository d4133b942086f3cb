"""TLS with a daemon: ca.pem, which its certificate is held against, cert.pem and key.pem, which prove who we are."""
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from occystrap_core import UsageError

if TYPE_CHECKING:
    from docker.tls import TLSConfig

_FILES = ('ca.pem', 'cert.pem', 'key.pem')


class Certificates(NamedTuple):
    """A directory with certificates as the docker command names them, None for the authorities that Python trusts.

    Without `verify` the daemon may be anybody.
    """

    directory: str | None
    verify: bool = True

    def config(self, url: str) -> 'TLSConfig':
        """Return what the docker SDK wants; raises UsageError when the directory has not what is needed."""
        from docker.tls import TLSConfig
        if self.directory is None:
            return TLSConfig(verify=self.verify)
        ca, certificate, key = (str(Path(self.directory) / name) for name in _FILES)
        there = {path: _readable(path, url) for path in (ca, certificate, key)}
        if not any(there.values()) or there[certificate] != there[key]:
            missing = ' and '.join(path for path in (certificate, key) if not there[path])
            raise UsageError(f'the certificates for the Docker daemon at {url} are incomplete: {missing} is missing; '
                             'see cert_path= and DOCKER_CERT_PATH')
        return TLSConfig(client_cert=(certificate, key) if there[key] else None,
                         ca_cert=ca if there[ca] else None, verify=self.verify)


def find_certificates(url: str, options: Mapping[str, Any], environment: bool) -> Certificates | None:
    """Return the certificates for a daemon, None for one without TLS; raises UsageError for options without a use.

    DOCKER_CERT_PATH and DOCKER_TLS_VERIFY count if `environment` and neither option is given. An empty
    DOCKER_TLS_VERIFY beside a DOCKER_CERT_PATH means TLS without looking at who answers.
    """
    directory, verify = options.get('cert_path') or None, options.get('tls_verify')
    if not url.startswith(('tcp://', 'https://')):
        if directory or verify is not None:
            raise UsageError(f'docker://: {"cert_path" if directory else "tls_verify"}= needs a daemon at '
                             f'tcp://HOST:PORT, not {url}')
        return None
    if environment and directory is None and verify is None:
        directory, said = os.environ.get('DOCKER_CERT_PATH') or None, os.environ.get('DOCKER_TLS_VERIFY')
        verify = bool(said) if said is not None and (said or directory) else None
    if directory:
        return Certificates(os.path.abspath(directory), verify is not False)
    if verify or url.startswith('https://'):
        return Certificates(_usual_directory(), verify is not False)
    return None


def config_directory() -> Path:
    """Return the directory of the docker command's settings."""
    return Path(os.environ.get('DOCKER_CONFIG') or Path.home() / '.docker')


def _usual_directory() -> str | None:
    """Return the directory where the docker command looks for certificates, None when none are there."""
    directory = config_directory()
    return os.path.abspath(directory) if any(os.path.exists(directory / name) for name in _FILES) else None


def _readable(path: str, url: str) -> bool:
    """Tell whether a file is there; raises UsageError when it is, and cannot be read."""
    try:
        with open(path, 'rb'):
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f'the certificates for the Docker daemon at {url} cannot be used: {path}: {error.strerror}; '
                         'see cert_path= and DOCKER_CERT_PATH') from None
