"""The address of a registry:// path: the reference, the host of its API, and the credentials given for it."""
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from occystrap_core import Location, Place, Settings, UsageError
from occystrap_core.oci import Digest, Reference, split_pattern
from occystrap_registry.credentials.given_credentials import given_credentials
from occystrap_registry.transport.hosts import is_loopback, is_possible_port
from occystrap_registry.transport.url import MalformedURL, parse_url

if TYPE_CHECKING:
    from occystrap_core import Receipt
    from occystrap_registry.credentials.logins import Credentials

_HUB = ('docker.io', 'index.docker.io')
HUB_API = 'registry-1.docker.io'
_LONGEST_LABEL = 63  # RFC 1035, 2.3.4
_DIGEST = r'sha\d+:[^/]*|[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9A-Fa-f]{32,}'


class Address(NamedTuple):
    """A reference in a registry; requests go to `host`, `reference` is shown and stored."""

    reference: Reference
    host: str
    insecure: bool = False
    credentials: 'Credentials | None' = None
    is_redirected: bool = False
    """Whether another registry, not the user, named the host: then it gets no credentials."""
    http2: bool = False

    def __repr__(self) -> str:
        """Return the address without credentials."""
        return f'Address({self.reference}, host={self.host!r}, insecure={self.insecure})'

    @property
    def place(self) -> Place:
        """The place of an image: its tag or, without one, its digest if that is known, independent of the host's
        spelling."""
        host = Place.canonical_host(self.host, 443)
        return Place('', f'{host}/{self.reference.repository}' + (
            f':{self.reference.tag}' if self.reference.tag else f'@{self.reference.digest or ""}'))

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine."""
        return is_loopback(self.host)

    @property
    def pull_scope(self) -> str:
        """The scope for reading (distribution, Token Scope Documentation)."""
        return f'repository:{self.reference.repository}:pull'

    @property
    def push_scope(self) -> str:
        """The scope for reading and writing."""
        return f'repository:{self.reference.repository}:pull,push'

    def blob(self, digest: Digest) -> str:
        """The path of a blob (distribution-spec, Endpoints)."""
        return f'/v2/{self.reference.repository}/blobs/{digest}'

    @property
    def uploads(self) -> str:
        """The path where uploads begin."""
        return f'/v2/{self.reference.repository}/blobs/uploads/'

    def manifest(self, tag_or_digest: str | Digest) -> str:
        """The path of the manifest with a tag or digest."""
        return f'/v2/{self.reference.repository}/manifests/{tag_or_digest}'

    def name_of(self, tag_or_digest: str | Digest) -> str:
        """Return the full name of the manifest with a tag or digest."""
        return f'{self.reference.name}{"@" if isinstance(tag_or_digest, Digest) else ":"}{tag_or_digest}'


def parse_address(location: Location, settings: Settings, patterns: bool = False) -> Address:
    """Return the address of a location, with tag latest if it has neither tag nor digest; raises UsageError.

    Repository and tag may be patterns if `patterns`. Credentials in the URI or its options are kept for the verifier
    in `settings.credentials` only.
    """
    userinfo, named = split_userinfo(location.path)
    pattern = _pattern(named)
    if pattern and not patterns:
        raise UsageError(f'registry://{named} is a pattern, which only sources can have: use fields such as '
                         '{repository}:{tag} in a destination')
    reference = pattern or _reference(named, bool(location.options.get('untagged')))
    host = possible_host(reference.host)
    if host in _HUB and '/' not in reference.repository:
        reference = Reference(f'library/{reference.repository}', reference.tag, reference.digest, reference.host)
    host = HUB_API if host in _HUB else host
    credentials = given_credentials(host, userinfo, location.options)
    if credentials:
        settings.credentials[host] = credentials
    return Address(reference, host, bool(location.options.get('insecure')),
                   credentials or settings.credentials.get(host), http2=bool(location.options.get('http2')))


def address_of(receipt: 'Receipt', settings: Settings) -> Address:
    """Return the address of the image of a receipt, with the options that it was written with; raises UsageError."""
    given = receipt.options
    switches = {name: given.get(name, '').lower() in ('true', 'yes', 'on', '1') for name in ('insecure', 'http2')}
    return parse_address(Location('registry', receipt.path, switches, given), settings)


@lru_cache(1024)
def possible_host(host: str) -> str:
    """Return `host[:port]` in lower case; raises UsageError for one that no machine can have."""
    try:
        url = parse_url(f'https://{host.lower()}/')
        is_name, labels, port = bool(url.host), url.host.split('.'), url.port
    except MalformedURL:
        is_name, labels, port = False, [], None
    if not is_name or any(len(label) > _LONGEST_LABEL for label in labels):
        raise UsageError(f'{host[:80]!r} cannot be the name of a registry: expected HOST[:PORT]') from None
    if not is_possible_port(port):
        raise UsageError(f'{host[:80]!r} has an impossible port: the highest is 65535')
    return host.lower()


def _reference(named: str, untagged: bool) -> Reference:
    reference = Reference.parse(named, with_host=True)
    if untagged and (reference.tag or reference.digest):
        raise UsageError(f'registry://{named}: untagged=true is for a path without tag and digest')
    return reference if untagged else reference.with_default_tag()


def _pattern(named: str) -> Reference | None:
    """Return the reference with the patterns after the host, by default tag latest; None without a pattern."""
    host, _, rest = named.partition('/')
    found = split_pattern(rest)
    return Reference(found[0], found[1] or 'latest', None, Reference.parse(f'{host}/any', with_host=True).host
                     ) if found else None


def split_userinfo(path: str) -> tuple[str, str]:
    """Return what is before the @ of `user:password@host/…`, and the rest; a digest has its own @."""
    head, at, tail = path.rpartition('@')
    if not (at and re.fullmatch(_DIGEST, tail)):
        return head, tail
    userinfo, _, named = head.rpartition('@')
    return userinfo, f'{named}@{tail}'
