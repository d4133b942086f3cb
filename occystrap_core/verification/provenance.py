"""What a receipt records besides its expectations: its verdict, who brought the image, which platforms were taken."""
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from occystrap_core.verification.expectation import text_of


class RecordedVerdict(NamedTuple):
    """The result of verification when the receipt was written to a file: outcome, level, and time (RFC 3339)."""

    outcome: str
    level: str
    time: str

    @classmethod
    def now(cls, outcome: str, level: str) -> Self:
        """Return a verdict with the present time, in whole seconds."""
        return cls(outcome, level, time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()))

    @classmethod
    def of_document(cls, given: Mapping[str, Any] | None) -> Self | None:
        """Return the verdict in a receipt's JSON; raises ValueError, KeyError, TypeError, as do the others here."""
        return cls(*(text_of(given[name]) for name in cls._fields)) if given else None


class Bringer(NamedTuple):
    """Who brought an image: a source and a destination as written, without selection, and the list that named them, if
    any.

    Only the same source may prune the image.
    """

    source: str
    destination: str
    in_list: str = ''

    @classmethod
    def all_of_document(cls, given: Sequence[Mapping[str, Any]] | None) -> tuple[Self, ...]:
        """Return all bringers in a receipt's JSON."""
        return tuple(cls(*(text_of(each[name]) for name in cls._fields)) for each in given or ())


class PlatformChoices(NamedTuple):
    """The platforms that were taken of an index, and all that it had; empty without an index."""

    taken: Sequence[str] = ()
    at_source: Sequence[str] = ()

    @classmethod
    def of_document(cls, given: Mapping[str, Any] | None) -> Self:
        """Return the platforms in a receipt's JSON."""
        return cls(*(tuple(map(text_of, (given or {}).get(name, ()))) for name in cls._fields))
