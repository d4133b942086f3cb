"""Which images of a daemon a pattern means. Names match as they are listed and as users shorten them."""
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Self

from occystrap_core import ImageNotFound
from occystrap_core.oci import Excluded, Reference, available_names, compile_pattern, sort_references, split_pattern

if TYPE_CHECKING:
    from occystrap_docker.daemon.daemon import Daemon

_LEFT_OUT = ('docker.io/library/', 'docker.io/', 'localhost/')
"""What Podman puts before short names, and users leave out."""


class NamePattern(NamedTuple):
    """Patterns for repository, maybe with its host, and tag."""

    text: str
    repository: re.Pattern[str]
    tag: re.Pattern[str]

    @classmethod
    def parse(cls, text: str, default_tag: str) -> Self | None:
        """Return the pattern, None for a name without one; raises UsageError for one that can match nothing."""
        found = split_pattern(text)
        return cls(text, compile_pattern(found[0]), compile_pattern(found[1] or default_tag)) if found else None

    def matches(self, repository: str, tag: str) -> bool:
        """Tell whether the pattern means this image, under any of its spellings."""
        return bool(self.tag.fullmatch(tag)) and any(map(self.repository.fullmatch, spellings(repository)))


def spellings(repository: str) -> Iterator[str]:
    """Yield a repository as a daemon has it, and as it may be written too: with and without Docker Hub's name."""
    yield repository
    for prefix in _LEFT_OUT:
        if repository.startswith(prefix):
            yield repository.removeprefix(prefix)
    first, slash, _ = repository.partition('/')
    if not slash:
        yield f'docker.io/library/{repository}'
    elif first != 'localhost' and '.' not in first and ':' not in first:
        yield f'docker.io/{repository}'


def matching(daemon: 'Daemon', pattern: NamePattern, excluded: Excluded) -> list[Reference]:
    """Return what a pattern means, by repository and tag in natural order.

    Raises ImageNotFound, telling what there is, when nothing matches, ServiceError.
    """
    named = [each for each in daemon.images() if each.tag]
    found = [Reference.parse(each.name) for each in named if pattern.matches(each.repository, each.tag)]
    wanted = [reference for reference in found if reference not in excluded]
    if not wanted:
        error = nothing_matches(pattern.text, str(daemon.address), [each.name for each in named])
        if not (split_pattern(pattern.text) or (None, ''))[1]:
            error.add_note('no tag was given, so latest was looked for: :* stands for every one')
        raise error
    return sort_references(wanted)


def nothing_matches(pattern: str, address: str, names: list[str]) -> ImageNotFound:
    """Return the error that says that nothing matches, and a few of the names that there are."""
    there = available_names('images', names)
    return ImageNotFound(f'docker://{pattern}: no image of the daemon at {address} matches; {there}')
