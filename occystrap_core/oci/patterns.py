"""Patterns for names of repositories and tags: `*`, `?`, `[a-z]`, `[!a-z]` stay within a component, `**` does not."""
import re
from collections.abc import Iterable, Sequence

from occystrap_core.errors import UsageError
from occystrap_core.oci.reference import Reference, split_tag
from occystrap_core.values import value

_MARKS = re.compile(r'[*?\[\]]')
_LONGEST = 255
_REPOSITORY = re.compile(r'(?:[a-z0-9.-]+:[0-9]+/)?[a-z0-9._/*?\[\]!^-]+')
_SHOWN = 5
_TAG = re.compile(r'[A-Za-z0-9_.*?\[\]!^-]+')
_EXCLUDED = re.compile(r'[A-Za-z0-9._/:*?\[\]!^-]+')
_PART = re.compile(r'(?P<deep>\*\*/)|(?P<all>\*\*+)|(?P<star>\*)|(?P<one>\?)|\[(?P<set>[!^]?\]?[^\]]*)\]|(?P<text>.)')


def has_glob(text: str) -> bool:
    """Tell whether `text` has marks of a pattern."""
    return bool(_MARKS.search(text))


def split_pattern(text: str) -> tuple[str, str] | None:
    """Return the patterns for repository and tag, which may be empty, in `repository:tag`; None when there are none.

    The repository may begin with a host. Raises UsageError for a pattern that can match nothing.
    """
    if not has_glob(text):
        return None
    repository, colon, tag = split_tag(text)
    if '@' in text:
        raise UsageError(f'{text!r} has a pattern beside a digest, which names one image')
    for what, part, allowed in (('repository', repository, _REPOSITORY), ('tag', tag if colon else '*', _TAG)):
        if not allowed.fullmatch(part) or len(part) > _LONGEST:
            raise UsageError(f'{text!r} has a malformed {what} {part!r}: no name can match it')
        compiled(part)
    return repository, tag


def compiled(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern, to be used with fullmatch; raises UsageError when it is none."""
    try:
        return re.compile(''.join(_translated(found, pattern) for found in _PART.finditer(pattern)), re.DOTALL)
    except re.error as error:
        raise UsageError(f'the pattern {pattern!r} has a malformed [ ]: {error.msg}') from None


def _translated(found: re.Match[str], pattern: str) -> str:
    if found['set'] is not None:
        inverted = found['set'][:1] in ('!', '^')
        letters = found['set'][inverted:].replace('\\', r'\\').replace('[', r'\[').replace('^', r'\^')
        return f'(?!/)[{"^" if inverted else ""}{letters.replace("]", chr(92) + "]")}]'
    if found['text']:
        if found['text'] in '[]':
            raise UsageError(f'the pattern {pattern!r} has a [ or ] that is alone')
        return re.escape(found['text'])
    return {'deep': '(?:.*/)?', 'all': '.*', 'star': '[^/]*', 'one': '[^/]'}[str(found.lastgroup)]


@value
class Excluded:
    """What is to be left out: patterns for repositories, for `repository:tag`, or, from a colon on, for tags alone."""

    patterns: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> 'Excluded':
        """Return what `exclude=` says, patterns with commas between; raises UsageError."""
        return cls(tuple(_excluding(part.strip()) for part in text.split(',') if part.strip()))

    def __contains__(self, reference: Reference) -> bool:
        names = (reference.repository, f'{reference.repository}:{reference.tag}')
        return any(pattern.fullmatch(name) for pattern in self.patterns for name in names)

    def has_repository(self, repository: str) -> bool:
        """Tell whether all of a repository is left out."""
        return any(pattern.fullmatch(repository) for pattern in self.patterns)


def _excluding(pattern: str) -> re.Pattern[str]:
    if not _EXCLUDED.fullmatch(pattern):
        raise UsageError(f'exclude: {pattern!r} can match no repository and no tag')
    return compiled(f'**{pattern}' if pattern.startswith(':') else pattern)


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Return the key that sorts names as people count: v1.9 before v1.10."""
    return tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part)
                 for part in re.split(r'([0-9]+)', name) if part)


def in_order(references: Iterable[Reference]) -> list[Reference]:
    """Return references by repository and tag, in natural order."""
    return sorted(references, key=lambda each: (natural(each.repository), natural(each.tag)))


def examples(what: str, names: Sequence[str]) -> str:
    """Return a few of the names that there are instead, for messages."""
    return f'there is: {some(names)}' if names else f'there are no {what}'


def some(names: Sequence[str]) -> str:
    """Return the first few names in natural order, and how many are left."""
    shown = ', '.join(sorted(names, key=natural)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f'{shown} and {len(names) - _SHOWN} more'
