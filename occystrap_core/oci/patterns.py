"""Patterns for names of repositories and tags: `*`, `?`, `[a-z]`, `[!a-z]` stay within a component, `**` does not."""
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from occystrap_core.errors import UsageError
from occystrap_core.oci.reference import Reference, split_tag

_MARKS = re.compile(r'[*?\[\]]')
_LONGEST = 255
_REPOSITORY = r'(?:[a-z0-9.-]+:[0-9]+/)?[a-z0-9._/*?\[\]!^-]+'
_SHOWN = 5
_COMPARED = 5000
"""At most this many names are sorted by similarity, which takes 50 µs each."""
STAR = '*'
_TAG = r'[A-Za-z0-9_.*?\[\]!^-]+'
_EXCLUDED = r'[A-Za-z0-9._/:*?\[\]!^-]+'
_KEPT = r'[A-Za-z0-9._/:*?\[\]!^@-]+'
_PART = (r'(?P<deep>(?<![^/])\*\*/)|(?P<all>\*\*+)|(?P<star>\*)|(?P<one>\?)|\[(?P<set>[!^]?\]?[^\]]*)\]|'
         r'(?P<text>.)')


def has_glob(text: str) -> bool:
    """Return whether `text` contains characters of a pattern."""
    return bool(_MARKS.search(text))


def split_pattern(text: str) -> tuple[str, str] | None:
    """Return the patterns for repository and tag (which may be empty) in `repository:tag`; None if `text` is no
    pattern.

    The repository may begin with a host. Raises UsageError for a pattern that can match nothing.
    """
    if not has_glob(text):
        return None
    repository, colon, tag = split_tag(text)
    if '@' in text:
        raise UsageError(f'{text!r} has a pattern beside a digest, which names one image')
    for what, part, allowed in (('repository', repository, _REPOSITORY), ('tag', tag if colon else '*', _TAG)):
        if not re.fullmatch(allowed, part) or len(part) > _LONGEST:
            raise UsageError(f'{text!r} has a malformed {what} {part!r}: no name can match it')
        compile_pattern(part)
    return repository, tag


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern, for fullmatch; raises UsageError if the pattern is malformed.

    The text after a `*` is searched once, at its first occurrence (atomic groups), as in `tar.globs`, so that no name
    causes exponential backtracking; likewise the text between two `**`.
    """
    runs: list[list[str]] = [[]]
    wide: list[str] = []
    for found in re.finditer(_PART, pattern):
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
    """Return the expressions before, between and after the stars among the parts of a glob."""
    pieces: list[list[str]] = [[]]
    for part in parts:
        if part == STAR:
            pieces.append([])
        else:
            pieces[-1].append(part)
    return [''.join(piece) for piece in pieces]


def _run(parts: list[str], last: bool) -> str:
    """Return the expression for the text between two `**`; after the `last` star it must match to the end of the name.
    """
    first, *others = between_stars(parts)
    behind = [others.pop()] if last and others else []
    return first + ''.join(f'(?>[^/]*?{piece})' for piece in others) + ''.join(f'[^/]*{piece}' for piece in behind)


def _one(found: re.Match[str], pattern: str) -> str:
    """Return the expression for one character."""
    if found['set'] is not None:
        inverted = found['set'][:1] in ('!', '^')
        letters = found['set'][inverted:].replace('\\', r'\\').replace('[', r'\[').replace('^', r'\^')
        return f'(?!/)[{"^" if inverted else ""}{letters.replace("]", chr(92) + "]")}]'
    if found['one']:
        return '[^/]'
    if found['text'] in '[]':
        raise UsageError(f'the pattern {pattern!r} has an unmatched [ or ]')
    return re.escape(found['text'])


class Excluded:
    """Patterns of `exclude=`: for repositories, for `repository:tag`, or, with a leading colon, for tags."""

    def __init__(self, patterns: Mapping[str, re.Pattern[str]] = MappingProxyType({})) -> None:
        self.texts, self.patterns = (*patterns, ), [*patterns.values()]

    @classmethod
    def parse(cls, text: str) -> 'Excluded':
        """Return the comma-separated patterns in `text`; raises UsageError."""
        return cls({part.strip(): _excluding(part.strip()) for part in text.split(',') if part.strip()})

    def __contains__(self, reference: Reference) -> bool:
        names = (reference.repository, f'{reference.repository}:{reference.tag}')
        return any(pattern.fullmatch(name) for pattern in self.patterns for name in names)

    def has_repository(self, repository: str) -> bool:
        """Return whether the whole repository is excluded."""
        return any(pattern.fullmatch(repository) for pattern in self.patterns)


class Kept:
    """Patterns of `keep=`, like those of `exclude=`, also for names as messages print them: with a host, or with a
    digest."""

    def __init__(self, patterns: Mapping[str, re.Pattern[str]] = MappingProxyType({})) -> None:
        self.patterns = patterns

    @classmethod
    def parse(cls, text: str) -> 'Kept':
        """Return the comma-separated patterns in `text`; raises UsageError."""
        return cls({part.strip(): _pattern(part.strip(), 'keep', _KEPT) for part in text.split(',') if part.strip()})

    def matching(self, names: Iterable[str]) -> set[str]:
        """Return the patterns, as written, that match one of these names of an image."""
        known = {each for name in names for each in _names_of(name)}
        return {text for text, pattern in self.patterns.items() if any(map(pattern.fullmatch, known))}


def _names_of(name: str) -> set[str]:
    """Return the name as it is, and without digest, tag and host."""
    host, slash, rest = name.partition('/')
    is_host = slash and (any(letter in host for letter in '.:[') or host == 'localhost')
    plain = [each.partition('@')[0] for each in (name, rest if is_host else name)]
    return {name, rest if is_host else name, *plain, *(split_tag(each)[0] for each in plain)}


def _excluding(pattern: str) -> re.Pattern[str]:
    return _pattern(pattern, 'exclude', _EXCLUDED)


def _pattern(pattern: str, option: str, allowed: str) -> re.Pattern[str]:
    if not re.fullmatch(allowed, pattern):
        raise UsageError(f'{option}: {pattern!r} can match no repository and no tag')
    return compile_pattern(f'**{pattern}' if pattern.startswith(':') else pattern)


def natural_key(name: str) -> tuple[tuple[int, str, str], ...]:
    """Return a sort key for natural order: v1.9 before v1.10, with any number of digits."""
    return tuple(_counted(part) for part in re.split(r'([0-9]+)', name) if part)


def _counted(part: str) -> tuple[int, str, str]:
    """Return the sort key of a run of digits, shorter numbers first, or of other text, which sorts after all numbers.
    """
    digits = part.lstrip('0')
    return (len(digits), digits, part) if part.isascii() and part.isdigit() else (sys.maxsize, part, part)


def sort_references(references: Iterable[Reference]) -> list[Reference]:
    """Return references by repository and tag, in natural order."""
    return sorted(references, key=reference_key)


def reference_key(reference: Reference) -> tuple[object, ...]:
    """Return the sort key of `sort_references`."""
    return natural_key(reference.repository), natural_key(reference.tag)


def nearest_names(wanted: str, names: Sequence[str], what: str = 'tags', more: bool = False) -> str:
    """Return a text that lists the names that exist, the nearest to `wanted` first, and the number of others.

    `wanted` may be a pattern. With `more` there are others that are unknown.
    """
    if not names:
        return f'there are no {what}'
    import difflib  # late, as only errors need it
    near = difflib.SequenceMatcher(b=_MARKS.sub('', wanted).removesuffix(':latest'), autojunk=False)

    def likeness(name: str) -> float:
        near.set_seq1(name)
        return near.ratio()
    distinct = sorted(set(names), key=natural_key)
    ordered = sorted(distinct, key=likeness, reverse=True) if len(distinct) <= _COMPARED else distinct
    return f'available: {_first(ordered, more)}'


def first_names(names: Sequence[str]) -> str:
    """Return the first few names in natural order, and the number of others."""
    return _first(sorted(names, key=natural_key))


def _first(ordered: Sequence[str], more: bool = False) -> str:
    shown, left = ', '.join(ordered[:_SHOWN]), len(ordered) - _SHOWN
    if more:
        return f'{shown} and more'
    return f'{shown} and {left} more' if left > 0 else shown
