"""Matching a daemon's images with patterns. Names match as they are listed and as users shorten them."""
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Self

from occystrap_core import ImageNotFound
from occystrap_core.oci import Reference, compile_pattern, nearest_names, sort_references, split_pattern

if TYPE_CHECKING:
    from occystrap_docker.daemon.daemon import Daemon

_LEFT_OUT = ('docker.io/library/', 'docker.io/', 'localhost/')
"""Prefixes that Podman adds to short names."""


class NamePattern(NamedTuple):
    """Patterns for the repository, with or without a host, and the tag."""

    text: str
    repository: re.Pattern[str]
    tag: re.Pattern[str]

    @classmethod
    def parse(cls, text: str, default_tag: str) -> Self | None:
        """Return the pattern, None for a plain name; raises UsageError for a pattern that can match nothing."""
        found = split_pattern(text)
        return cls(text, compile_pattern(found[0]), compile_pattern(found[1] or default_tag)) if found else None

    def matches(self, repository: str, tag: str) -> bool:
        """Return whether the pattern matches this image, in any of its spellings."""
        return bool(self.tag.fullmatch(tag)) and any(map(self.repository.fullmatch, spellings(repository)))


def spellings(repository: str) -> Iterator[str]:
    """Yield a repository as the daemon lists it, and its other spellings: with and without Docker Hub's name."""
    yield repository
    for prefix in _LEFT_OUT:
        if repository.startswith(prefix):
            yield repository.removeprefix(prefix)
    first, slash, _ = repository.partition('/')
    if not slash:
        yield f'docker.io/library/{repository}'
    elif first != 'localhost' and '.' not in first and ':' not in first:
        yield f'docker.io/{repository}'


def matching(daemon: 'Daemon', pattern: NamePattern) -> list[Reference]:
    """Return the images that match a pattern, by repository and tag in natural order.

    Raises ImageNotFound, with examples of existing names, when none matches, ServiceError.
    """
    named = [each for each in daemon.images() if each.tag]
    found = [Reference.parse(each.name) for each in named if pattern.matches(each.repository, each.tag)]
    if not found:
        error = nothing_matches(pattern.text, str(daemon.address), [each.name for each in named])
        if not (split_pattern(pattern.text) or (None, ''))[1]:
            error.add_note('no tag was given, so latest was looked for: :* matches every tag')
        raise error
    return sort_references(found)


def nothing_matches(pattern: str, address: str, names: list[str]) -> ImageNotFound:
    """Return the error for a pattern without a match, with examples of existing names."""
    there = nearest_names(pattern, names, 'images')
    return ImageNotFound.of_pattern(f'docker://{pattern}: no image of the daemon at {address} matches; {there}')
