"""Platforms: os/architecture[/variant], normalized as in image-spec image-index.md and containerd."""
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from occystrap_core.errors import InvalidImage, UsageError

_WORD = re.compile(r'[a-z0-9][a-z0-9._-]*')
_ARCHITECTURES = {
    'x86_64': 'amd64', 'x86-64': 'amd64', 'aarch64': 'arm64', 'armv8l': 'arm64', 'i386': '386', 'i686': '386',
    'armhf': 'arm', 'armv7l': 'arm', 'armel': 'arm', 'armv6l': 'arm',
}
_VARIANTS = {'armhf': 'v7', 'armv7l': 'v7', 'armel': 'v6', 'armv6l': 'v6'}
"""Variants that names of architectures stand for."""
_DEFAULT_VARIANTS = {'arm64': 'v8', 'arm': 'v7', 'amd64': 'v1'}


class Platform(NamedTuple):
    """The platform of an image; an empty variant stands for the architecture's usual one."""

    os: str
    architecture: str
    variant: str = ''

    def __str__(self) -> str:
        return '/'.join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the platform written as `os/architecture[/variant]`, or as `host` for this machine's.

        Raises UsageError for anything else.
        """
        if text.strip().lower() == 'host':
            return cls.of_host()
        parts = text.strip().lower().split('/')
        if not 2 <= len(parts) <= 3 or not all(_WORD.fullmatch(part) for part in parts):
            raise UsageError(f'platform {text!r} is not of the form os/architecture[/variant], such as linux/arm64/v8')
        architecture = _ARCHITECTURES.get(parts[1], parts[1])
        return cls(parts[0], architecture, parts[2] if len(parts) == 3 else '')

    @classmethod
    def from_json(cls, document: Mapping[str, Any], what: str = 'the document') -> Self:
        """Return the platform of an index entry or config; raises InvalidImage, naming `what`, if a field is not a
        string.

        A null counts as missing, as in the programs that write these documents.
        """
        found = (document.get(name) for name in ('os', 'architecture', 'variant'))
        values = ['' if each is None else each for each in found]
        if not all(isinstance(value, str) for value in values):
            raise InvalidImage(f'{what}: a platform has a field that is not a string')
        return cls(*values)

    @classmethod
    def of_host(cls) -> Self:
        """Return linux on this machine's architecture: the default of a copy."""
        machine = os.uname().machine.lower()
        return cls('linux', _ARCHITECTURES.get(machine, machine))

    @property
    def normal(self) -> 'Platform':
        """This platform under the names that containerd uses, with the architecture's usual variant if it has none.

        Some images say x86_64 or aarch64, after the machine that they were made on, or 8 for v8.
        """
        written = self.architecture.lower()
        architecture = _ARCHITECTURES.get(written, written)
        variant = self.variant.lower() or _VARIANTS.get(written, '') or _DEFAULT_VARIANTS.get(architecture, '')
        return type(self)(self.os.lower(), architecture, f'v{variant}' if variant.isdigit() else variant)

    def to_json(self) -> dict[str, str]:
        """Return the fields of an index entry; an empty variant is left out."""
        fields = {'architecture': self.architecture, 'os': self.os, 'variant': self.variant}
        return {name: value for name, value in fields.items() if value}

    @property
    def text(self) -> str:
        """The platform, or words for an unknown one, for messages."""
        return str(self) or 'one image that does not say its platform'

    def satisfies(self, requested: 'Platform') -> bool:
        """Return whether this is the platform `requested`; a missing variant stands for the usual one."""
        actual, expected = self.normal, requested.normal
        return actual[:2] == expected[:2] and (not requested.variant or actual.variant == expected.variant)

    def may_be(self, requested: 'Platform') -> bool:
        """Return whether a config's platform may be `requested`: many configs leave out the variant."""
        return self.satisfies(requested if self.variant else requested._replace(variant=''))


class PlatformChoice(NamedTuple):
    """What to take of an index: one platform, several, or, if none is named, everything."""

    platforms: tuple[Platform, ...] = ()

    def __str__(self) -> str:
        return ','.join(map(str, self.platforms)) or 'all'

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the choice written as `all`, `host`, `os/arch[/variant]`, or several of these with commas.

        Raises UsageError for anything else.
        """
        if text.strip().lower() == 'all':
            return cls()
        return cls(tuple(dict.fromkeys(Platform.parse(part) for part in text.split(','))))

    @property
    def one(self) -> Platform | None:
        """The platform, if a single one was chosen: the result is then an image, not an index."""
        return self.platforms[0] if len(self.platforms) == 1 else None
