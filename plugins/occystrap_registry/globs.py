"""Patterns for names of repositories and tags: `*`, `?`, `[a-z]`, `[!a-z]` stay within a component, `**` does not."""
import re
from collections.abc import Iterable
from dataclasses import dataclass

from occystrap_core import UsageError
from occystrap_core.oci import Reference

_MARKS = re.compile(r'[*?\[\]]')
_LONGEST = 255
_REPOSITORY = re.compile(r'[a-z0-9._/*?\[\]!^-]+')
_TAG = re.compile(r'[A-Za-z0-9_.*?\[\]!^-]+')
_EXCLUDED = re.compile(r'[A-Za-z0-9._/:*?\[\]!^-]+')
_PART = re.compile(r'(?P<deep>\*\*/)|(?P<all>\*\*+)|(?P<star>\*)|(?P<one>\?)|\[(?P<set>[!^]?\]?[^\]]*)\]|(?P<text>.)')


def has_glob(text: str) -> bool:
    """Tell whether `text` has marks of a pattern."""
    return bool(_MARKS.search(text))


def split_pattern(path: str) -> Reference | None:
    """Return the reference with patterns that `host/repository:tag` is, None when it has none.

    Raises UsageError for a pattern that can match nothing.
    """
    host, _, rest = path.partition('/')
    if not has_glob(rest):
        return None
    repository, colon, tag = rest.rpartition(':') if ':' in rest.rpartition('/')[2] else (rest, '', 'latest')
    if '@' in rest:
        raise UsageError(f'{path!r} has a pattern beside a digest, which names one image')
    for what, text, allowed in (('repository', repository, _REPOSITORY), ('tag', tag, _TAG)):
        if not allowed.fullmatch(text) or len(text) > _LONGEST:
            raise UsageError(f'{path!r} has a malformed {what} {text!r}: no name can match it')
        compiled(text)
    return Reference(repository, tag, None, Reference.parse(f'{host}/any', with_host=True).host)


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


@dataclass(frozen=True)
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
