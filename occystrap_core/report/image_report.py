"""The report on one image of a run, as a line for the user and as JSON for programs."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from occystrap_core.errors import Cancelled, OccystrapError, system_text
from occystrap_core.plugins.blame import unexpected
from occystrap_core.plugins.manager import Plugins
from occystrap_core.terminal_text import counted, size_text
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.provenance import PlatformChoices
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import CheckResult, Outcome, Presence, Severity


@dataclass(eq=False, repr=False, slots=True)
class ImageReport:
    """One image: `size` in bytes of its layers at the destination; `outcome` is None without verification."""

    reference: str
    destination: str
    layers: int = 0
    size: int = 0
    receipt: Receipt | None = None
    outcome: Outcome | None = None
    findings: Sequence[CheckResult] = ()
    failure: str = ''
    notes: Sequence[str] = ()
    """Lines for the user about what was left out on purpose."""
    platforms: PlatformChoices = PlatformChoices()
    moved: int | None = None
    """Bytes of layers that were written, 0 if all were there already; None if no copy was intended."""
    reused: int = 0
    """Bytes of layers' blobs that an interrupted run had kept, so that they were not read from the source."""
    seconds: float = 0.0
    done_before: bool = False
    """Whether an earlier run copied the image, and it is still there."""
    source_asked: bool = True
    """For an image copied before: whether the source was asked for its present state."""
    settle_seconds: float = 0.0
    """Seconds until the destination showed all that was written, 0 if it did so at once."""
    left_out: bool = False
    """Whether it is an artifact that a pattern matches and the destination cannot hold: it does not count as an image.
    """
    verb: str = 'copied'
    """What was done with the image, if it was not verified."""
    written_to: str = ''
    """The place to which the receipt says that the image was written, if another place was verified."""
    one_of_several: bool = False
    """Whether its source goes to several destinations."""
    looks: Sequence[dict[str, Any]] | None = None
    """Every expectation with its observations, if the report is to have them."""
    recorded: Receipt | None = None
    """The receipt with its verdict and all bringers, once that is known."""

    @classmethod
    def of_json(cls, found: Mapping[str, Any], receipt: Receipt | None) -> Self:
        """Return the report from which `to_json` made this JSON, with the image's receipt."""
        return cls(
            found['reference'], found['destination'], found['layers'], found['bytes'], receipt,
            Outcome(found['outcome']) if found['outcome'] else None,
            [CheckResult(Severity(each['severity']), each['item'], each['message']) for each in found['findings']],
            found['failure'] or '', found['notes'], PlatformChoices.of_document(found.get('platforms')),
            found.get('bytes_moved'), found.get('bytes_reused', 0), found['seconds'], found['done_before'],
            found.get('source_asked', True), found.get('settle_seconds', 0.0), looks=found.get('expectations'))

    def received(self, receipt: Receipt) -> None:
        """Record the image's receipt, and the destination in it."""
        self.receipt, self.destination = receipt, receipt.destination

    def unchanged(self, receipt: Receipt, source_asked: bool) -> None:
        """Record the receipt of an image that is proved to be there already."""
        self.received(receipt)
        self.layers, self.size = layers_of(receipt), sum(each.size for each in receipt.of_kind('layer'))
        self.moved, self.platforms = 0, receipt.platforms
        self.done_before, self.source_asked = True, source_asked

    def judged(self, verdict: Verdict) -> None:
        """Record a verdict."""
        self.outcome, self.findings = verdict.outcome, verdict.findings
        self.settle_seconds += verdict.settle_seconds

    def left_out_layers(self) -> dict[str, int]:
        """Return the layers that a delta leaves out, with their sizes; after verification those that were found to be
        left out."""
        if self.looks is None:
            return {each.digest: each.size for each in self.receipt.left_out} if self.receipt else {}
        return {each['digest']: each['size'] for each in self.looks
                if any(seen['presence'] == Presence.LEFT_OUT.value for seen in each['observed'])}

    def counted(self) -> None:
        """Free the memory of what only lists of images show, if the image is only to be counted."""
        if self.succeeded and not self.left_out_layers():
            self.receipt = self.recorded = None

    @property
    def name(self) -> str:
        """The image, with its destination if that is one of several."""
        return f'{self.reference} → {self.destination}' if self.one_of_several else self.reference

    @property
    def succeeded(self) -> bool:
        """Whether the image was processed and, if requested, verified."""
        return not self.failure and self.outcome in (None, Outcome.VERIFIED)

    def line(self) -> str:
        """Return the result for the image, as one line for the user."""
        if self.failure:
            return f'{self.name} FAILED: {self.failure}'
        if self.left_out:
            return f'{self.name} left out: an artifact, no image'
        fate = 'FAILED' if self.outcome is Outcome.FAILED else self.outcome.value if self.outcome else self.verb
        before = 'unchanged, ' if self.done_before and self.source_asked else ''
        behind = ', done before, source not asked' if self.done_before and not self.source_asked else ''
        size = self.size if self.moved is None else self.moved
        return (f'{self.name} {counted(self.layers, "layer")} {size_text(size)} {self.seconds:.1f}s {before}'
                f'{fate.upper() if self.outcome is Outcome.UNVERIFIED else fate}{behind}'
                f'{settled_text(self.settle_seconds)}')

    @property
    def status(self) -> str:
        """The result in one word: failed, unverified, unchanged, or what was done."""
        if self.failure or self.outcome is Outcome.FAILED:
            return str(Outcome.FAILED.value)
        if self.outcome is Outcome.UNVERIFIED:
            return str(Outcome.UNVERIFIED.value)
        return 'unchanged' if self.done_before else self.verb

    def to_json(self) -> dict[str, Any]:
        """Return the image's part of the JSON report."""
        return {
            'reference': self.reference, 'destination': self.destination, 'status': self.status,
            'layers': self.layers, 'bytes': self.size,
            **({} if self.moved is None else {'bytes_moved': self.moved}),
            **({'bytes_reused': self.reused} if self.reused else {}),
            'source_digest': self.receipt.source_digest if self.receipt else None,
            'image_id': self.receipt.image_id if self.receipt else None,
            'manifest_digest': self.receipt.manifest_digest if self.receipt else None,
            'evidence': self.receipt.evidence.value if self.receipt else None,
            'outcome': self.outcome.value if self.outcome else None, 'failure': self.failure or None,
            'seconds': round(self.seconds, 3), 'done_before': self.done_before,
            **({'source_asked': self.source_asked} if self.done_before else {}), 'notes': list(self.notes),
            'findings': [{'severity': each.severity.value, 'item': each.item, 'message': each.message}
                         for each in self.findings],
            **({'settle_seconds': round(self.settle_seconds, 3)} if self.settle_seconds else {}),
            **({'written_to': self.written_to} if self.written_to else {}),
            **({} if self.looks is None else {'expectations': self.looks}),
            **({'platforms': {name: list(each) for name, each in self.platforms._asdict().items()}}
               if self.platforms.at_source else {})}


class PrunedImage(NamedTuple):
    """An image that the source no longer has; `reason` says why it is still at the destination, empty if it was
    removed."""

    receipt: Receipt
    reason: str = ''

    def line(self, dry_run: bool = False) -> str:
        """Return the result, as one line for the user."""
        name = f'{self.receipt.reference} at {self.receipt.destination}'
        digest = self.receipt.manifest_digest or self.receipt.image_id
        if self.reason:
            return f'{"would not prune" if dry_run else "NOT PRUNED"} {name}: {self.reason}'
        return f'{"would prune" if dry_run else "pruned"} {name} ({digest})'

    def to_json(self) -> dict[str, Any]:
        """Return the result for programs."""
        return {'reference': self.receipt.reference, 'destination': self.receipt.destination,
                'digest': self.receipt.manifest_digest or self.receipt.image_id, 'reason': self.reason or None}


def left_out_text(count: int) -> str:
    """Return the note on artifacts that are left out."""
    what = f'{count} artifacts that are' if count > 1 else '1 artifact that is'
    return (f'left out {what} not an image, such as a chart; registry://, layout:// and tar://…?format=oci can take it'
            ', unless it is a build cache')


def settled_text(seconds: float) -> str:
    """Return `, settled after 1.3 s`, or an empty string for 0."""
    return f', settled after {max(seconds, 0.1):.1f} s' if seconds else ''


def failure_text(error: BaseException, plugins: Plugins) -> str:
    """Return the message for the failure of one image among several; for an unexpected exception it names the plugin.
    """
    if isinstance(error, OSError):
        return system_text(error)
    known = isinstance(error, OccystrapError | Cancelled)
    return str(error) if known else unexpected(error, plugins)


def layers_of(receipt: Receipt) -> int:
    """Return the number of layers of a receipt's image, or of all images in its index and all referrers, each once."""
    return max(len(receipt.diff_ids), len(receipt.of_kind('layer')))
