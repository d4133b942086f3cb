"""Where a registry:// path leads: the reference, the host that answers for it, and the credentials given for it."""
import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote

from occystrap_core import Location, Settings, UsageError
from occystrap_core.oci import Reference

_HUB = ('docker.io', 'index.docker.io')
_HUB_API = 'registry-1.docker.io'


@dataclass(frozen=True)
class Address:
    """A reference in a registry; `host` is asked, `reference` is shown and kept."""

    reference: Reference
    host: str
    insecure: bool

    @property
    def repository(self) -> str:
        """The repository's name at the host."""
        return self.reference.repository

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine."""
        return is_loopback(self.host)


def parse_address(location: Location, settings: Settings) -> Address:
    """Return the address of a location, with tag latest if it has neither tag nor digest; raises UsageError.

    Credentials in the URI or its options go to `settings.credentials` and nowhere else.
    """
    userinfo, at, rest = location.path.partition('@')
    if at and '/' not in userinfo:
        user, colon, password = userinfo.partition(':')
    else:
        rest, user, colon, password = location.path, '', '', ''
    reference = Reference.parse(rest, with_host=True).with_default_tag()
    if reference.host in _HUB and '/' not in reference.repository:
        reference = Reference(f'library/{reference.repository}', reference.tag, reference.digest, reference.host)
    host = _HUB_API if reference.host in _HUB else reference.host
    user, password = unquote(user), unquote(password)
    if location.options.get('username') or location.options.get('password'):
        user, password = location.options['username'] or user, location.options['password'] or password
    if bool(user) != bool(password) and colon + str(location.options.get('password') or ''):
        raise UsageError(f'{reference.host}: a user name and a password are wanted together')
    if user and password:
        settings.credentials[host] = (user, password)
    return Address(reference, host, bool(location.options.get('insecure')))


def is_loopback(host: str) -> bool:
    """Tell whether `host[:port]` is this machine."""
    name = _without_port(host)
    if name == 'localhost' or name.endswith('.localhost'):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_link_local(host: str) -> bool:
    """Tell whether `host[:port]` is a link-local address, where clouds keep their metadata."""
    try:
        return ipaddress.ip_address(_without_port(host)).is_link_local
    except ValueError:
        return False


def _without_port(host: str) -> str:
    return host[1:].partition(']')[0] if host.startswith('[') else host.partition(':')[0]
