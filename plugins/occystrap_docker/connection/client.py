"""A client of the docker SDK for an address of any kind."""
from typing import Any

import urllib3

from occystrap_core import Settings, UsageError
from occystrap_docker.connection.address import Address
from occystrap_docker.connection.failures import translated
from occystrap_docker.connection.limited_client import LimitedClient

_API = 'version of the API'


def connect(address: Address, settings: Settings) -> LimitedClient:
    """Return a client; the first of a run asks the daemon for the version of its API. Raises UsageError, ServiceError.

    Connecting, with TLS or ssh, and the answer may take `settings.timeout` seconds in all.
    """
    known = settings.shared.get((LimitedClient, address.url), dict[str, str])
    tls = {'tls': address.certificates.config(address.url)} if address.certificates else {}
    if address.certificates and not address.certificates.verify:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user asked for it
    try:
        with translated(address, 'connecting'):
            api = _client(address, settings, {'version': known.get(_API, 'auto'), 'timeout': settings.timeout, **tls})
    except (AttributeError, TypeError) as error:  # raised by the SDK for a malformed config.json
        raise UsageError(f'the docker SDK cannot start: {error}; check ~/.docker/config.json') from None
    known[_API] = api.api_version
    api.trust_env = address.url.startswith(('tcp://', 'http'))  # proxies and ~/.netrc do not apply to sockets
    return api


def _client(address: Address, settings: Settings, arguments: dict[str, Any]) -> LimitedClient:
    if address.url.startswith('ssh://'):
        from occystrap_docker.connection.ssh import SshClient, SshProcesses
        return SshClient(address, settings.shared.get(SshProcesses, SshProcesses), **arguments)
    return _SecuredClient(address, base_url=address.url, **arguments)


class _SecuredClient(LimitedClient):
    """Trusts the daemon's own authority only; requests would replace it by REQUESTS_CA_BUNDLE."""

    def merge_environment_settings(self, *arguments: Any, **more: Any) -> Any:
        """Return the settings of a request merged with the environment, but with our own authority."""
        merged = super().merge_environment_settings(*arguments, **more)
        return merged if self.verify is True else {**merged, 'verify': self.verify}
