"""Patterns for names of repositories and tags: `*`, `?`, `[a-z]`, `[!a-z]` stay within a component, `**` does not."""
import re
import sys
from collections.abc import Iterable, Sequence

from occystrap_core.errors import UsageError
from occystrap_core.oci.reference import Reference, split_tag

_MARKS = re.compile(r'[*?\[\]]')
_LONGEST = 255
_REPOSITORY = re.compile(r'(?:[a-z0-9.-]+:[0-9]+/)?[a-z0-9._/*?\[\]!^-]+')
_SHOWN = 5
STAR = '*'
_TAG = re.compile(r'[A-Za-z0-9_.*?\[\]!^-]+')
_EXCLUDED = re.compile(r'[A-Za-z0-9._/:*?\[\]!^-]+')
_PART = re.compile(r'(?P<deep>(?<![^/])\*\*/)|(?P<all>\*\*+)|(?P<star>\*)|(?P<one>\?)|\[(?P<set>[!^]?\]?[^\]]*)\]|'
                   r'(?P<text>.)')


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
        compile_pattern(part)
    return repository, tag


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern, to be used with fullmatch; raises UsageError when it is none.

    What follows a `*` is looked for once, at the first place that has it (atomic groups), as in `tar.globs`, so
    that no name makes it try without end; so is what stands between two `**`.
    """
    runs: list[list[str]] = [[]]
    wide: list[str] = []
    for found in _PART.finditer(pattern):
        if found.lastgroup in ('deep', 'all'):
            wide.append(found.lastgroup)
            runs.append([])
        else:
            runs[-1].append(STAR if found.lastgroup == 'star' else _one(found, pattern))
    try:
        return re.compile(_joined(runs, wide), re.DOTALL)
    except re.error as error:
        raise UsageError(f'the pattern {pattern!r} has a malformed [ ]: {error.msg}') from None


def _joined(runs: list[list[str]], wide: list[str]) -> str:
    """Return the expression of runs with `**` or `**/` between them."""
    text = _run(runs[0], last=not wide)
    for number, (kind, run) in enumerate(zip(wide, runs[1:], strict=True), 1):
        last = number == len(wide)
        follows = {'deep': '(?:[^/]*+/)*?', 'all': '.*?'}[kind] + _run(run, last)
        text += follows if last else f'(?>{follows})'
    return text


def between_stars(parts: Sequence[str]) -> list[str]:
    """Return the expressions that stand before, between and behind the stars among the parts of a glob."""
    pieces: list[list[str]] = [[]]
    for part in parts:
        if part == STAR:
            pieces.append([])
        else:
            pieces[-1].append(part)
    return [''.join(piece) for piece in pieces]


def _run(parts: list[str], last: bool) -> str:
    """Return the expression of what stands between two `**`; what comes behind the `last` star must end the name."""
    first, *others = between_stars(parts)
    behind = [others.pop()] if last and others else []
    return first + ''.join(f'(?>[^/]*?{piece})' for piece in others) + ''.join(f'[^/]*{piece}' for piece in behind)


def _one(found: re.Match[str], pattern: str) -> str:
    """Return the expression of one character."""
    if found['set'] is not None:
        inverted = found['set'][:1] in ('!', '^')
        letters = found['set'][inverted:].replace('\\', r'\\').replace('[', r'\[').replace('^', r'\^')
        return f'(?!/)[{"^" if inverted else ""}{letters.replace("]", chr(92) + "]")}]'
    if found['one']:
        return '[^/]'
    if found['text'] in '[]':
        raise UsageError(f'the pattern {pattern!r} has a [ or ] that is alone')
    return re.escape(found['text'])


class Excluded:
    """What is to be left out: patterns for repositories, for `repository:tag`, or, from a colon on, for tags alone."""

    def __init__(self, patterns: Sequence[re.Pattern[str]] = ()) -> None:
        self.patterns = patterns

    @classmethod
    def parse(cls, text: str) -> 'Excluded':
        """Return what `exclude=` says, patterns with commas between; raises UsageError."""
        return cls([_excluding(part.strip()) for part in text.split(',') if part.strip()])

    def __contains__(self, reference: Reference) -> bool:
        names = (reference.repository, f'{reference.repository}:{reference.tag}')
        return any(pattern.fullmatch(name) for pattern in self.patterns for name in names)

    def has_repository(self, repository: str) -> bool:
        """Tell whether all of a repository is left out."""
        return any(pattern.fullmatch(repository) for pattern in self.patterns)


def _excluding(pattern: str) -> re.Pattern[str]:
    if not _EXCLUDED.fullmatch(pattern):
        raise UsageError(f'exclude: {pattern!r} can match no repository and no tag')
    return compile_pattern(f'**{pattern}' if pattern.startswith(':') else pattern)


def natural_key(name: str) -> tuple[tuple[int, str, str], ...]:
    """Return the key that sorts names as people count: v1.9 before v1.10, whatever the number of digits."""
    return tuple(_counted(part) for part in re.split(r'([0-9]+)', name) if part)


def _counted(part: str) -> tuple[int, str, str]:
    """Return the key of digits, shorter numbers first, or of other text, behind all numbers."""
    digits = part.lstrip('0')
    return (len(digits), digits, part) if part.isascii() and part.isdigit() else (sys.maxsize, part, part)


def sort_references(references: Iterable[Reference]) -> list[Reference]:
    """Return references by repository and tag, in natural order."""
    return sorted(references, key=lambda each: (natural_key(each.repository), natural_key(each.tag)))


def available_names(what: str, names: Sequence[str]) -> str:
    """Return a few of the names that there are instead, for messages."""
    return f'there is: {first_names(names)}' if names else f'there are no {what}'


def first_names(names: Sequence[str]) -> str:
    """Return the first few names in natural order, and how many are left."""
    shown = ', '.join(sorted(names, key=natural_key)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f'{shown} and {len(names) - _SHOWN} more'
