"""A client of the docker SDK for an address, whichever way leads there."""
from typing import Any

import urllib3
from docker import APIClient

from occystrap_core import UsageError
from occystrap_docker.connection.address import Address
from occystrap_docker.connection.failures import translated


def connect(address: Address, timeout: float) -> APIClient:
    """Return a client that has asked the daemon for its version; raises UsageError, ServiceError.

    A daemon may be silent for `timeout` seconds.
    """
    tls = {'tls': address.certificates.config(address.url)} if address.certificates else {}
    if address.certificates and not address.certificates.verify:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user asked for it
    try:
        with translated(address, 'connecting'):
            api = _client(address, {'version': 'auto', 'timeout': timeout, **tls})
    except (AttributeError, TypeError) as error:  # what the SDK makes of a config.json of odd shape
        raise UsageError(f'the docker SDK cannot start: {error}; is ~/.docker/config.json well-formed?') from None
    api.trust_env = address.url.startswith(('tcp://', 'http'))  # neither proxies nor ~/.netrc are for sockets
    return api


def _client(address: Address, arguments: dict[str, Any]) -> APIClient:
    if address.url.startswith('ssh://'):
        from occystrap_docker.connection.ssh import SshClient
        return SshClient(address, **arguments)
    return _SecuredClient(base_url=address.url, **arguments)


class _SecuredClient(APIClient):
    """Trusts the daemon's own authority, and nobody else that REQUESTS_CA_BUNDLE would have requests trust instead."""

    def merge_environment_settings(self, *arguments: Any, **more: Any) -> Any:
        """Return what requests makes of a request's settings and the environment, but with our own authority."""
        merged = super().merge_environment_settings(*arguments, **more)
        return merged if self.verify is True else {**merged, 'verify': self.verify}
