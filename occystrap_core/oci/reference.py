"""References: host/repository:tag@digest, in the grammar of the distribution project (reference.go)."""
import re
from typing import NamedTuple, Self

from occystrap_core.errors import InvalidImage, UsageError
from occystrap_core.oci.digest import Digest

_COMPONENT = r'[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
_REPOSITORY = re.compile(rf'{_COMPONENT}(?:/{_COMPONENT})*')
_TAG = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}')
_DOCKER_HUB = ('docker.io', 'index.docker.io')
_HOST = re.compile(r'(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*'
                   r'|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?')


class Reference(NamedTuple):
    """Names an image; `host` is empty if the name has none (archives, daemons, directories)."""

    repository: str
    tag: str = ''
    digest: Digest | None = None
    host: str = ''

    def __str__(self) -> str:
        host = f'{self.host}/' if self.host else ''
        tag = f':{self.tag}' if self.tag else ''
        return f'{host}{self.repository}{tag}' + (f'@{self.digest}' if self.digest else '')

    @classmethod
    def parse(cls, text: str, with_host: bool = False) -> Self:
        """Return the reference in `text`; raises UsageError, saying what is wrong.

        With `with_host` the first component is always the host, as in registry URIs. Otherwise it is a host if it has a
        dot or a port or is localhost, as docker reads names.
        """
        rest, digest = _split_digest(text)
        host, rest = _split_host(rest, text, with_host)
        repository, colon, tag = split_tag(rest)
        if colon and not _TAG.fullmatch(tag):
            raise UsageError(f'{text!r} has a malformed tag {tag!r}: up to 128 letters, digits, _ . and - are allowed')
        if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
            raise UsageError(f'{text!r} has a malformed repository {repository!r}: lower-case letters, digits, '
                             'separators . _ - and / are allowed')
        return cls(repository, tag, digest, host)

    @property
    def name(self) -> str:
        """The repository with its host, without tag and digest."""
        return f'{self.host}/{self.repository}' if self.host else self.repository

    @property
    def familiar(self) -> str:
        """`name:tag`, as docker archives and daemons tag images; empty without a tag."""
        return f'{self.name}:{self.tag}' if self.tag else ''

    @property
    def as_docker(self) -> Self:
        """The name as docker keeps it: without its default host and `library/`, with tag latest if it has none."""
        named = self.with_default_tag()
        if named.host and named.host not in _DOCKER_HUB:
            return named
        return named._replace(host='', repository=named.repository.removeprefix('library/'))

    def is_same_without_host(self, other: 'Reference') -> bool:
        """Return whether two images have one name, whatever the hosts; their digests count only without a tag."""
        return not self._without_host().isdisjoint(other._without_host())

    def _without_host(self) -> set['Reference']:
        named = self._replace(digest=None) if self.tag else self
        return {Reference(*each[:3]) for each in (named.with_default_tag(), named.as_docker)}

    def with_default_tag(self) -> Self:
        """Return this reference, with tag latest if it has neither tag nor digest."""
        return self if self.tag or self.digest else self._replace(tag='latest')


def split_tag(name: str) -> tuple[str, str, str]:
    """Return the name before the tag, the colon, and the tag; the last two are empty if there is no tag."""
    return name.rpartition(':') if ':' in name.rpartition('/')[2] else (name, '', '')


def looks_like_host(first: str) -> bool:
    """Return whether docker reads the first part of a name as a host, and not as a part of the repository."""
    return '.' in first or ':' in first or first == 'localhost'


def _split_digest(text: str) -> tuple[str, Digest | None]:
    rest, at, digest = text.partition('@')
    try:
        return rest, Digest(digest) if at else None
    except InvalidImage as error:
        raise UsageError(f'a reference ends in @ and {error}') from None


def _split_host(rest: str, text: str, with_host: bool) -> tuple[str, str]:
    first, slash, remainder = rest.partition('/')
    if not (with_host or slash and looks_like_host(first)):
        return '', rest
    if not slash or not remainder:
        raise UsageError(f'{text!r} has no repository: expected host/repository[:tag]')
    if not _HOST.fullmatch(first):
        raise UsageError(f'{text!r} has a malformed host {first!r}: expected a name or address, and '
                         'a port up to 65535')
    return first, remainder
