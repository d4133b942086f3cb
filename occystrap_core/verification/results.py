"""What verifiers report: observations of what a receipt expects, and findings besides. No verdict: see judge.py."""
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from occystrap_core.oci.digest import Digest
from occystrap_core.verification.receipt import Expectation


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


class Proof(Enum):
    """How a verifier knows: it READ the bytes and hashed them, or a service REPORTED it (HEAD, inspect, a checksum)."""

    READ = 'read'
    REPORTED = 'reported'


READ, REPORTED = Proof.READ, Proof.REPORTED


class CheckResult(NamedTuple):
    """One finding: the item by name, and what is wrong with it, with what was expected and what is there."""

    severity: Severity
    item: str
    message: str

    def __str__(self) -> str:
        return f'{self.item}: {self.message}'


class Presence(Enum):
    """What a look at a thing came to."""

    FOUND = 'found'
    MISSING = 'missing'
    UNREACHABLE = 'unreachable'
    DIFFERENT = 'different'


class Observation(NamedTuple):
    """One look at one expected thing.

    `size` in bytes and `digest` are None where they were not looked at. `document` holds the bytes of a small document.
    `contents` tells of a tree whether its files' contents were read too, `covers` what it says it was made from.
    `reason` says what was found instead, or why nothing could be; `item` names the part that it is about, such as the
    path of a tree's entry, where that is not the expected thing itself.
    """

    expectation: Expectation
    presence: Presence
    proof: Proof = Proof.READ
    size: int | None = None
    digest: Digest | None = None
    document: bytes | None = None
    contents: bool = False
    covers: Sequence[Digest] | None = None
    reason: str = ''
    item: str = ''


class CheckResults:
    """What one verifier reports. Nothing in it says that anything is good: an empty one proves nothing.

    Methods may be called from several threads at once.
    """

    def __init__(self, results: Iterable[CheckResult] = ()) -> None:
        self.results = list(results)
        self.observations: list[Observation] = []

    @property
    def has_unreachable(self) -> bool:
        """Whether something could not be looked at."""
        return any(each.presence is Presence.UNREACHABLE for each in self.observations)

    def found(self, expectation: Expectation, *, size: int | None = None, digest: Digest | None = None,
              evidence: Proof) -> None:
        """Report an expected thing with its size in bytes and its digest, as far as they were looked at."""
        self.observations.append(Observation(expectation, Presence.FOUND, evidence, size, digest))

    def read(self, expectation: Expectation, document: bytes, *, covers: Sequence[Digest] | None = None) -> None:
        """Report a small document by all of its bytes; the core takes size and digest, and reads what it names.

        `covers` are the digests of what it says the image was made from, where the expectation has such.
        """
        self.observations.append(Observation(expectation, Presence.FOUND, READ, len(document), None, document,
                                             covers=covers))

    def walked(self, expectation: Expectation, *, contents: bool, covers: Sequence[Digest] | None = None) -> None:
        """Report that a tree was held against its list, every entry; `contents` tells whether files were read too.

        `covers` are the digests that the list says the tree was made from. What differs goes to `differs`.
        """
        self.observations.append(Observation(expectation, Presence.FOUND, READ, contents=contents, covers=covers or ()))

    def missing(self, expectation: Expectation, reason: str = '') -> None:
        """Report that an expected thing is not there; `reason` names what is missing if it is not the thing itself."""
        self.observations.append(Observation(expectation, Presence.MISSING, reason=reason))

    def unreachable(self, expectation: Expectation, reason: str) -> None:
        """Report that nothing can be said of an expected thing, and why."""
        self.observations.append(Observation(expectation, Presence.UNREACHABLE, reason=reason))

    def differs(self, expectation: Expectation, reason: str, item: str = '') -> None:
        """Report what is there instead of an expected thing, or what else is wrong with it.

        `item` names the part of it that differs, such as the path of a tree's entry.
        """
        self.observations.append(Observation(expectation, Presence.DIFFERENT, reason=reason, item=item))

    def error(self, item: object, message: str) -> None:
        """Note something wrong besides what the receipt expects, such as a broken policy or a file nobody wrote."""
        self.results.append(CheckResult(Severity.ERROR, str(item), message))

    def unverified(self, item: object, reason: str) -> None:
        """Note that the destination as a whole could not be looked at."""
        self.results.append(CheckResult(Severity.UNVERIFIED, str(item), reason))

    def warning(self, item: object, message: str) -> None:
        """Note what is odd but no error."""
        self.results.append(CheckResult(Severity.WARNING, str(item), message))

    def info(self, item: object, message: str) -> None:
        """Note what a person may want to know."""
        self.results.append(CheckResult(Severity.INFO, str(item), message))

    def extend(self, other: 'CheckResults') -> None:
        """Take over what was reported elsewhere, of another part of the same receipt."""
        self.results.extend(other.results)
        self.observations.extend(other.observations)


def problems(findings: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the findings that stand against success."""
    return [each for each in findings if each.severity in (Severity.ERROR, Severity.UNVERIFIED)]
