"""What verifiers and checks find."""
from collections.abc import Iterable
from enum import Enum

from occystrap_core.values import value


class Severity(Enum):
    """ERROR: not as it should be. UNVERIFIED: could not be looked at, which proves nothing. Others are for people."""

    ERROR = 'error'
    UNVERIFIED = 'unverified'
    WARNING = 'warning'
    INFO = 'info'


class Outcome(Enum):
    """What verification says of an image; only VERIFIED is success."""

    VERIFIED = 'verified'
    FAILED = 'failed'
    UNVERIFIED = 'unverified'


@value
class CheckResult:
    """One finding: the item by name, and what is wrong with it, with what was expected and what is there."""

    severity: Severity
    item: str
    message: str

    def __str__(self) -> str:
        return f'{self.item}: {self.message}'


class CheckResults:
    """The findings of one verifier; empty means that everything is as it should be."""

    def __init__(self, results: Iterable[CheckResult] = ()) -> None:
        self.results = list(results)

    def error(self, item: object, message: str) -> None:
        """Note that `item` is not as expected."""
        self.results.append(CheckResult(Severity.ERROR, str(item), message))

    def unverified(self, item: object, reason: str) -> None:
        """Note that `item` could not be checked; the outcome is unverified unless errors make it failed."""
        self.results.append(CheckResult(Severity.UNVERIFIED, str(item), reason))

    def warning(self, item: object, message: str) -> None:
        """Note what is odd but no error."""
        self.results.append(CheckResult(Severity.WARNING, str(item), message))

    def info(self, item: object, message: str) -> None:
        """Note what a person may want to know."""
        self.results.append(CheckResult(Severity.INFO, str(item), message))

    def expect(self, item: object, what: str, expected: object, found: object) -> bool:
        """Note an error unless `found` equals `expected`; return whether it does."""
        if found == expected:
            return True
        self.error(item, f'{what} is {found}, expected {expected}')
        return False

    def extend(self, other: 'CheckResults') -> None:
        """Take over the findings of another verifier."""
        self.results.extend(other.results)

    @property
    def has_errors(self) -> bool:
        """Whether anything is not as it should be."""
        return any(result.severity is Severity.ERROR for result in self.results)

    @property
    def outcome(self) -> Outcome:
        """FAILED with an error, else UNVERIFIED with anything that could not be checked, else VERIFIED."""
        if self.has_errors:
            return Outcome.FAILED
        unseen = any(result.severity is Severity.UNVERIFIED for result in self.results)
        return Outcome.UNVERIFIED if unseen else Outcome.VERIFIED

    @property
    def problems(self) -> list[CheckResult]:
        """The findings that stand against success."""
        return [result for result in self.results if result.severity in (Severity.ERROR, Severity.UNVERIFIED)]
