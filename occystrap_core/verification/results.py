"""Reports of verifiers: observations of what a receipt expects, and other findings. judge.py makes the verdict."""
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import parse_object
from occystrap_core.verification.expectation import Expectation


class Severity(Enum):
    """ERROR: not as expected. UNVERIFIED: could not be observed, which proves nothing. The others are only information.
    """

    ERROR = 'error'
    UNVERIFIED = 'unverified'
    WARNING = 'warning'
    INFO = 'info'


class Outcome(Enum):
    """The result of verifying an image; only VERIFIED is success."""

    VERIFIED = 'verified'
    FAILED = 'failed'
    UNVERIFIED = 'unverified'


class Proof(Enum):
    """How a verifier knows: it READ and hashed the bytes, or a service REPORTED it (HEAD, inspect, a checksum)."""

    READ = 'read'
    REPORTED = 'reported'


READ, REPORTED = Proof.READ, Proof.REPORTED


class CheckResult(NamedTuple):
    """One finding: the item by name, and what is wrong with it, with the expected and the observed value."""

    severity: Severity
    item: str
    message: str

    def __str__(self) -> str:
        return f'{self.item}: {self.message}'


class Presence(Enum):
    """Whether an observed item is there."""

    FOUND = 'found'
    MISSING = 'missing'
    UNREACHABLE = 'unreachable'
    DIFFERENT = 'different'
    LEFT_OUT = 'left out'


class Observation(NamedTuple):
    """One observation of one expected item.

    `size` in bytes and `digest` are None if they were not determined. `document` has the bytes of a small document. For
    a tree, `contents` is whether the contents of its files were read, too, and `covers` has the digests from which it
    was made according to its list. `reason` says what was found instead, or why nothing could be observed; `item` names
    the part that it is about, such as the path of a tree's entry, if not the expected item itself.
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

    @property
    def digest_seen(self) -> Digest | None:
        """The observed digest; for a document that of its bytes."""
        return self.digest if self.document is None else Digest.of(self.document, self.expectation.digest.algorithm)

    @property
    def has_another_size(self) -> bool:
        """Whether the size was determined, and is not the expected one."""
        return not self.expectation.has_unknown_size and self.size not in (None, self.expectation.size)

    @property
    def has_another_digest(self) -> bool:
        """Whether the digest was determined, and is not the expected one."""
        return self.digest_seen not in (None, self.expectation.digest)

    @property
    def contradicts(self) -> bool:
        """Whether the item is missing, or differs from what is expected."""
        return (self.presence in (Presence.MISSING, Presence.DIFFERENT) or self.has_another_size
                or self.has_another_digest)


class CheckResults:
    """The report of one verifier. It never says that anything is verified: an empty report proves nothing.

    Methods may be called from several threads in parallel.
    """

    def __init__(self, results: Iterable[CheckResult] = ()) -> None:
        self.results = list(results)
        self.observations: list[Observation] = []
        self.settle_seconds = 0.0

    @property
    def has_unreachable(self) -> bool:
        """Whether something could not be observed."""
        return any(each.presence is Presence.UNREACHABLE for each in self.observations)

    @property
    def has_contradiction(self) -> bool:
        """Whether something reported so far is missing or not as expected; the verdict is left to the core."""
        return any(each.contradicts for each in self.observations)

    def found(self, expectation: Expectation, *, size: int | None = None, digest: Digest | None = None,
              evidence: Proof) -> None:
        """Report that an expected item is there, with its size in bytes and its digest, as far as they were determined.
        """
        self.observations.append(Observation(expectation, Presence.FOUND, evidence, size, digest))

    def read(self, expectation: Expectation, document: bytes, *, covers: Sequence[Digest] | None = None) -> None:
        """Report a small document with all its bytes; the core computes size and digest, and checks the digests in it.

        `covers` are the digests that the image was made from according to the document, if the expectation has any.
        """
        self.observations.append(Observation(expectation, Presence.FOUND, READ, len(document), None, document,
                                             covers=covers))

    def walked(self, expectation: Expectation, *, contents: bool, covers: Sequence[Digest] | None = None) -> None:
        """Report that every entry of a tree was compared with its list; `contents` is whether files were read, too.

        `covers` are the digests that the tree was made from according to the list. Report differences by `differs`.
        """
        self.observations.append(Observation(expectation, Presence.FOUND, READ, contents=contents, covers=covers or ()))

    def missing(self, expectation: Expectation, reason: str = '') -> None:
        """Report that an expected item is not there; `reason` names what is missing if it is not the item itself."""
        self.observations.append(Observation(expectation, Presence.MISSING, reason=reason))

    def left_out(self, expectation: Expectation) -> None:
        """Report that a delta lists an item among those that it leaves out."""
        self.observations.append(Observation(expectation, Presence.LEFT_OUT))

    def unreachable(self, expectation: Expectation, reason: str) -> None:
        """Report that an expected item could not be observed, and why."""
        self.observations.append(Observation(expectation, Presence.UNREACHABLE, reason=reason))

    def differs(self, expectation: Expectation, reason: str, item: str = '') -> None:
        """Report what is there instead of an expected item, or what else is wrong with it.

        `item` names the part that differs, such as the path of a tree's entry.
        """
        self.observations.append(Observation(expectation, Presence.DIFFERENT, reason=reason, item=item))

    def looked_up(self, expectation: Expectation, document: bytes | None, problem: str) -> None:
        """Report what was found in index.json: the bytes of the expected entry, or None without it.

        `problem` says why there is none, or what is wrong with the list though the entry is there.
        """
        if document is None:
            self.missing(expectation, problem)
            return
        covers = [Digest(parse_object(document, 'the entry').get('digest'))] if expectation.covers else None
        self.read(expectation, document, covers=covers)
        if problem:
            self.differs(expectation, problem)

    def listed(self, expectation: Expectation, entry: Descriptor | None, problem: str) -> None:
        """Report the entry of index.json by which a manifest is found; `problem` says what is wrong, for example that
        there is none."""
        if entry is None:
            self.missing(expectation, problem)
        elif problem:
            self.differs(expectation, problem)
        else:
            self.found(expectation, size=entry.size, digest=entry.digest, evidence=REPORTED)

    def settled(self, seconds: float) -> None:
        """Report how many seconds after the first look the destination showed what was written."""
        self.settle_seconds = max(self.settle_seconds, seconds)

    def error(self, item: object, message: str) -> None:
        """Report an error that is not about an expectation, such as a violated policy or an extra file."""
        self.results.append(CheckResult(Severity.ERROR, str(item), message))

    def unverified(self, item: object, reason: str) -> None:
        """Report that the destination as a whole could not be observed."""
        self.results.append(CheckResult(Severity.UNVERIFIED, str(item), reason))

    def warning(self, item: object, message: str) -> None:
        """Report something unusual that is not an error."""
        self.results.append(CheckResult(Severity.WARNING, str(item), message))

    def info(self, item: object, message: str) -> None:
        """Report information for the user."""
        self.results.append(CheckResult(Severity.INFO, str(item), message))

    def extend(self, other: 'CheckResults') -> None:
        """Add the reports of another part of the same receipt."""
        self.results.extend(other.results)
        self.observations.extend(other.observations)
        self.settled(other.settle_seconds)


def problems(findings: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the findings that prevent success."""
    return [each for each in findings if each.severity in (Severity.ERROR, Severity.UNVERIFIED)]


def outcome_of(findings: Iterable[CheckResult]) -> Outcome:
    """Return FAILED if there is an error, else UNVERIFIED if something could not be observed, else VERIFIED."""
    severities = {each.severity for each in findings}
    if Severity.ERROR in severities:
        return Outcome.FAILED
    return Outcome.UNVERIFIED if Severity.UNVERIFIED in severities else Outcome.VERIFIED
