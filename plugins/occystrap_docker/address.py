"""Where the daemon is: from an option, from DOCKER_HOST, or at the usual socket."""
import os
import re
from typing import Any

from occystrap_core import UsageError

USUAL = 'unix:///var/run/docker.sock'
_SCHEMES = ('unix://', 'tcp://', 'http://', 'https://', 'ssh://')
_PASSWORD = re.compile(r'^[a-z]+://[^/@]*:[^/@]*@')


def find_address(option: str | None) -> str:
    """Return the daemon's address as DOCKER_HOST has it; raises UsageError for one that cannot be.

    `option` is a path or an address; without it DOCKER_HOST counts, without that Docker's usual socket.
    """
    text = option or os.environ.get('DOCKER_HOST') or USUAL
    if _PASSWORD.match(text):
        raise UsageError('the address of a Docker daemon takes no password: use keys (ssh) or certificates (tcp)')
    if text.startswith(_SCHEMES):
        return text
    if '://' in text:
        raise UsageError(f'{text!r} is not the address of a Docker daemon: a path, {", ".join(_SCHEMES)} are known')
    return f'unix://{os.path.abspath(text)}'


def client_arguments(address: str) -> dict[str, Any]:
    """Return what the docker SDK needs to connect: base_url, and TLS as DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say.

    Raises UsageError when certificates that they name are missing.
    """
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env
    if not address.startswith('tcp://'):
        return {'base_url': address, 'use_ssh_client': True}
    try:
        return dict(kwargs_from_env({**os.environ, 'DOCKER_HOST': address}))
    except (DockerException, OSError, ValueError) as error:
        raise UsageError(f'the certificates for the Docker daemon at {address} cannot be used: {error}; '
                         'see DOCKER_CERT_PATH') from None
