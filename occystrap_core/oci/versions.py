"""Versions in tags, and ranges of them: semver.org, read as leniently as tags are written.

A range is written as for npm, Cargo, Helm and `skopeo sync`: `>=1.2 <2`, `^1.4`, `~1.4.2`, `1.x`, `1.2 - 1.5`,
`1.x || 3.x`.
"""
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

_VERSION = (r'(?a)[vV]?(?P<numbers>\d{1,18}(?:\.\d{1,18})*)(?:-(?P<before>[0-9A-Za-z.-]+))?'
            r'(?:[+_](?P<build>[0-9A-Za-z._-]+))?')
"""`_` stands for the `+` before build metadata, which a tag cannot contain (Helm's convention)."""
_BOUND = (r'(?a)(?P<sign>>=|=>|<=|=<|==|!=|[><=^~])?\s*[vV]?'
          r'(?P<numbers>(?:\d{1,18}|[xX*])(?:\.(?:\d{1,18}|[xX*]))*)'
          r'(?:-(?P<before>[0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?')
_HYPHEN = r'(\S+)\s+-\s+(\S+)'
_SIGNS = {'=>': '>=', '=<': '<=', '==': '=', None: '='}
_EXPECTED = "expected a range of versions, such as '>=1.2 <2', '^1.4' or '1.x || 3.x'"


class Version(NamedTuple):
    """A version, ordered as in semver.org, 11. Missing numbers are 0, and there may be more than three."""

    numbers: tuple[int, ...]
    released: bool = True
    before: tuple[tuple[int, int, str], ...] = ()
    """The identifiers of a pre-release; numeric ones are compared as numbers, and sort before others."""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the version that a tag states, with or without `v`; None if it is not a version."""
        found = re.fullmatch(_VERSION, text)
        return cls.made(found['numbers'], found['before']) if found else None

    @classmethod
    def made(cls, numbers: str, before: str | None) -> Self:
        """Return the version with these dot-separated numbers, and a pre-release."""
        identifiers = tuple((0, int(part), '') if part.isdecimal() and part.isascii() else (1, 0, part)
                            for part in (before or '').split('.')) if before else ()
        return cls(_without_zeros(numbers), not before, identifiers)


def _without_zeros(numbers: str) -> tuple[int, ...]:
    found = [int(number) for number in numbers.split('.')]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


Check = Callable[[Version], bool]


class VersionRange(NamedTuple):
    """A range of versions: alternatives, each a set of bounds that must all hold."""

    text: str
    alternatives: Sequence[Sequence[Check]]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the range that a text states; raises ValueError, with what is expected."""
        return cls(text, [_bounds(part) for part in text.split('||')])

    def __contains__(self, version: object) -> bool:
        return isinstance(version, Version) and any(
            all(check(version) for check in bounds) for bounds in self.alternatives)


def _bounds(text: str) -> Sequence[Check]:
    """Return the conditions of an alternative. Pre-releases match only if a bound names one (as in Helm and skopeo)."""
    text = re.sub(_HYPHEN, r'>=\1 <=\2', text)
    found, place, named = list[Check](), 0, False
    for each in re.finditer(r'[\s,]*(\S[^\s,]*(?:(?<=[><=^~])\s+[^\s,]+)?)', text):
        bound = re.fullmatch(_BOUND, each[1])
        if not bound or each.start() != place:
            raise ValueError(_EXPECTED)
        found.append(_bound(bound))
        named |= bool(bound['before'])
        place = each.end()
    if not found:
        raise ValueError(_EXPECTED)
    return found if named else [lambda version: version.released, *found]


def _bound(written: re.Match[str]) -> Check:
    """Return the condition of a bound."""
    numbers = [int(each) for each in re.split(r'\.[xX*]|^[xX*]', written['numbers'])[0].split('.') if each]
    lowest = Version.made('.'.join(map(str, numbers)) or '0', written['before'])
    return _comparison(_SIGNS.get(written['sign'], written['sign']), numbers, lowest)


def _comparison(sign: str, numbers: Sequence[int], lowest: Version) -> Check:
    """Return a comparison; missing numbers stand for any, as in npm: `>1.2` is `>=1.3`."""
    above = _next(numbers, _kept(sign, numbers))

    def within(version: Version) -> bool:
        return version >= lowest and (above is None or (version.numbers < above))
    if len(numbers) >= 3 and sign in '=!=':
        return {'=': lambda version: version == lowest, '!=': lambda version: version != lowest}[sign]
    if len(numbers) >= 3 and sign in ('>', '<='):
        return {'>': lambda version: version > lowest, '<=': lambda version: version <= lowest}[sign]
    return {'>=': lambda version: version >= lowest, '<': lambda version: version < lowest,
            '>': lambda version: not within(version) and version > lowest,
            '<=': lambda version: version < lowest or within(version),
            '!=': lambda version: not within(version)}.get(sign, within)


def _kept(sign: str, numbers: Sequence[int]) -> int:
    """Return how many numbers a bound fixes: for `~1.2.3` two, for `^1.2.3` those up to the first that is not 0."""
    if sign == '~':
        return min(len(numbers), 2)
    if sign == '^':
        return next((place for place, each in enumerate(numbers, 1) if each), len(numbers))
    return len(numbers)


def _next(numbers: Sequence[int], kept: int) -> tuple[int, ...] | None:
    """Return the lowest numbers above all that begin with the first `kept` of these; None if there are none."""
    return (*numbers[:kept - 1], numbers[kept - 1] + 1) if kept else None
