"""The verdict on an image: every expectation of its receipt is compared with the observations of verifiers.

Only this module can return `verified`. Verifiers report (results.py); comparing, wording and judging is done here, by
one table that says what each kind of expectation needs at each level.
"""
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from occystrap_core.errors import InvalidImage
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import parse_object
from occystrap_core.oci.manifest import Index, parse_manifest_or_index
from occystrap_core.settings import VerifyLevel
from occystrap_core.verification.expectation import Evidence, Expectation, Part
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import (
    CheckResult, CheckResults, Observation, Outcome, Presence, Proof, Severity, problems, outcome_of,
)


class Need(Enum):
    """What must be observed of an expectation to prove it."""

    DIGEST_READ = 'its bytes read and hashed'
    DIGEST = 'its digest'
    SIZE = 'its size'
    TREE = 'its list read and every entry compared'
    TREE_READ = 'its list read, every entry compared and every file read'


class Kind(NamedTuple):
    """The needs of a kind of expectation at FAST and at FULL."""

    fast: Need
    full: Need


DOCUMENT = Kind(Need.DIGEST_READ, Need.DIGEST_READ)
BLOB = Kind(Need.SIZE, Need.DIGEST_READ)
POINTER = Kind(Need.DIGEST, Need.DIGEST)
TREE = Kind(Need.TREE, Need.TREE_READ)

KINDS = {'layer': BLOB, 'tag': POINTER, 'referrer': POINTER, 'files': TREE}
"""Any other kind is a document: manifest, index, config, catalog, and kinds of plugins."""


def need_of(expectation: Expectation, level: VerifyLevel, reports_only: bool) -> Need:
    """Return the need; `reports_only` is true for a service that returns a document only together with all layers."""
    kind = KINDS.get(expectation.kind, DOCUMENT)
    if level is VerifyLevel.FULL:
        return kind.full
    if reports_only and kind in (DOCUMENT, BLOB):
        return Need.DIGEST
    return kind.full if expectation.has_unknown_size else kind.fast


class Verdict(NamedTuple):
    """The result of verifying one image: `findings` for the user; `looks` has each expectation with its observations.

    `settle_seconds`: seconds until the destination showed all that was written, 0 if it did so at once.
    """

    outcome: Outcome
    findings: Sequence[CheckResult]
    looks: Sequence['Look'] = ()
    settle_seconds: float = 0.0

    @property
    def problems(self) -> list[CheckResult]:
        """The findings that prevent success."""
        return problems(self.findings)

    def to_json(self) -> list[dict[str, Any]]:
        """Return every expectation with its observations, for programs."""
        return [look.to_json() for look in self.looks]


class Look:
    """One expectation with all observations of it, and their result."""

    def __init__(self, expectation: Expectation, need: Need, observations: Sequence[Observation]) -> None:
        self.expectation, self.need, self.observations = expectation, need, observations
        self.findings: list[CheckResult] = []
        self.is_open = False
        """Whether nothing is wrong, but the observations are not enough for a proof."""

    def judge(self) -> None:
        """Compare, and record what is wrong or was not observed."""
        for seen in self.observations:
            self._compare(seen)
        self.is_open = not self.findings and not self._is_proved()
        if self.is_open:
            self._note(Severity.UNVERIFIED, f'only {self._known()} was checked, not {self.need.value}' if
                       self.observations else 'it was not checked')

    def _known(self) -> str:
        reported = all(each.proof is Proof.REPORTED for each in self.observations)
        return 'what a service reports' if reported else 'a part of it'

    def _compare(self, seen: Observation) -> None:
        expected = self.expectation
        if seen.presence is Presence.UNREACHABLE:
            self._note(Severity.UNVERIFIED, seen.reason or 'could not be checked')
        elif seen.presence is Presence.MISSING:
            self._note(Severity.ERROR, seen.reason or f'is missing, expected {self._expected()}')
        elif seen.presence is Presence.LEFT_OUT and expected.evidence is not Evidence.BASE:
            self._note(Severity.ERROR, 'is left out, expected to be there')
        elif seen.presence is Presence.DIFFERENT:
            self._note(Severity.ERROR, seen.reason, seen.item)
        elif seen.has_another_size and not (expected.evidence is Evidence.SOURCE and seen.has_another_digest):
            self._note(Severity.ERROR, f'size in bytes is {seen.size}, expected {expected.size}')
        elif seen.has_another_digest:
            digest = seen.digest_seen
            self._note(Severity.ERROR, f'the source has {expected.digest}, the destination has {digest}'
                       if expected.evidence is Evidence.SOURCE else f'digest is {digest}, expected {expected.digest}')
        elif seen.covers is not None and list(seen.covers) != list(expected.covers):
            self._note(Severity.ERROR, f'was made from {_shown(seen.covers)}, expected {_shown(expected.covers)}')

    def _expected(self) -> str:
        expected = self.expectation
        return str(expected.digest) if expected.has_unknown_size else f'{expected.size} bytes'

    def _is_proved(self) -> bool:
        if any(each.presence is Presence.LEFT_OUT for each in self.observations):  # nothing else is expected
            return True
        looks = [each for each in self.observations if each.presence is Presence.FOUND]
        hashed = any(each.digest_seen and each.proof is Proof.READ for each in looks)
        known = any(each.digest_seen for each in looks)
        walked = [each.contents for each in looks if each.covers is not None]
        if self.expectation.covers and self.expectation.kind != 'layer' and all(each.covers is None for each in looks):
            return False
        return {Need.DIGEST_READ: hashed, Need.DIGEST: known, Need.TREE: hashed and bool(walked),
                Need.SIZE: hashed or any(each.size is not None for each in looks),
                Need.TREE_READ: hashed and any(walked)}[self.need]

    def _note(self, severity: Severity, message: str, item: str = '') -> None:
        finding = CheckResult(severity, item or str(self.expectation), message)
        if finding not in self.findings[-2:]:  # two observations may find the same
            self.findings.append(finding)

    def to_json(self) -> dict[str, Any]:
        """Return the expectation and its observations for programs."""
        expected = self.expectation
        return {'kind': expected.kind, 'locator': expected.locator, 'digest': expected.digest, 'size': expected.size,
                'evidence': expected.evidence.value, 'needs': self.need.value,
                'outcome': outcome_of(self.findings).value,
                'observed': [{'presence': seen.presence.value, 'how': seen.proof.value, 'size': seen.size,
                              'digest': seen.digest_seen, 'contents': seen.contents, 'reason': seen.reason or None}
                             for seen in self.observations]}


def judge(receipt: Receipt, level: VerifyLevel, results: CheckResults, reports_only: bool = False,
          kinds: Sequence[str] = ()) -> Verdict:
    """Return the verdict: verified if and only if every expectation was observed as `level` needs it, and equal.

    `kinds` are those that a receipt of this scheme must have.
    """
    seen: dict[Expectation, list[Observation]] = {each: [] for each in receipt.expectations}
    for observation in results.observations:
        seen.setdefault(observation.expectation, []).append(observation)
    expected = set(receipt.expectations)
    looks = [Look(each, need_of(each, level, reports_only), observations) for each, observations in seen.items()
             if each in expected]
    for look in looks:
        look.judge()
    findings = [*_reported_findings(looks, results), *results.results]
    findings += [CheckResult(Severity.ERROR, str(each), 'was reported, but the receipt does not expect it')
                 for each in seen if each not in expected]
    findings += _inconsistencies(receipt, looks)
    lacking = [kind for kind in kinds if not receipt.of_kind(kind)]
    if gap := receipt.gap() or (f'it expects no {", no ".join(lacking)}' if lacking else ''):
        findings.append(CheckResult(Severity.UNVERIFIED, receipt.destination, f'the receipt is incomplete: {gap}'))
    return Verdict(outcome_of(findings), findings, looks, results.settle_seconds)


def _reported_findings(looks: Iterable[Look], results: CheckResults) -> list[CheckResult]:
    """Return the findings of all looks, without those that a finding about the whole destination explains."""
    why = bool(problems(results.results))
    return [finding for look in looks if not (look.is_open and why) for finding in look.findings]


def _shown(digests: Sequence[Digest]) -> str:
    return ', '.join(digests) or 'nothing'


def _inconsistencies(receipt: Receipt, looks: Iterable[Look]) -> list[CheckResult]:
    """Return contradictions between the receipt and documents that were read and have the expected digests."""
    known = {each.digest for each in receipt.expectations}
    read = {look.expectation.digest: (look.expectation, seen.document) for look in looks if not look.findings
            for seen in look.observations if seen.document is not None}
    found: list[tuple[Expectation, str]] = []
    if receipt.keeps_manifests:
        for expected, raw in read.values():
            if expected.kind in ('manifest', 'index'):
                found += [(expected, message) for message in _unknown(raw, known)]
    found += _other_entries(receipt, [each for each in read.values() if each[0].kind == 'entry'])
    for part in receipt.all_parts():
        if part.image_id in read and _is_image(receipt, part, read):
            expected, raw = read[part.image_id]
            found += [(expected, message) for message in _other_layers(raw, part.diff_ids)]
    return [CheckResult(Severity.ERROR, str(expected), message) for expected, message in found]


def _other_entries(receipt: Receipt, entries: Sequence[tuple[Expectation, bytes]]) -> list[tuple[Expectation, str]]:
    """Return the entries that refer to something the receipt does not expect; one must refer to its own image."""
    known = {each.digest for each in receipt.of_kind('manifest', 'index')}
    meant = {expected: Digest(parse_object(raw, 'the entry').get('digest')) for expected, raw in entries}
    found = [(expected, f'means {digest}, which the receipt does not expect') for expected, digest in meant.items()
             if digest not in known]
    is_own = not meant or not {receipt.manifest_digest, receipt.image_id}.isdisjoint(meant.values())
    return found if found or is_own else [(expected, 'means another image') for expected in meant]


def _unknown(raw: bytes, known: set[Digest]) -> list[str]:
    """Return the digests in a manifest or index that the receipt does not expect (image-spec manifest.md)."""
    try:
        document = parse_manifest_or_index(raw)
    except InvalidImage as error:
        return [str(error)]
    named = document.manifests if isinstance(document, Index) else (document.config, *document.layers)
    return [f'names {each.digest}, which the receipt does not expect' for each in named if each.digest not in known]


def _other_layers(raw: bytes, diff_ids: Sequence[Digest]) -> list[str]:
    """Return how a config's layers differ from those of the receipt (image-spec config.md, rootfs)."""
    try:
        listed = ImageConfig.parse(raw).diff_ids
    except InvalidImage as error:
        return [str(error)]
    same = list(listed) == list(diff_ids)
    return [] if same else [f'the list of diff_ids is {_shown(listed)}, expected {_shown(diff_ids)}']


def _is_image(receipt: Receipt, part: Part, read: Mapping[Digest, tuple[Expectation, bytes]]) -> bool:
    """Return whether a part is an image, not an artifact, whose config may contain anything."""
    if not receipt.keeps_manifests:
        return True
    if part.manifest_digest is None or part.manifest_digest not in read:
        return False
    try:
        document = parse_manifest_or_index(read[part.manifest_digest][1])
    except InvalidImage:  # _unknown reports it
        return False
    return not isinstance(document, Index) and document.is_image_with(read[part.image_id][1])
