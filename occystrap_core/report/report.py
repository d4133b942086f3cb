"""The result of a run: per image and in total, as the summary line for the user and as JSON for programs."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from occystrap_core.errors import Cancelled, OccystrapError, system_text
from occystrap_core.plugins.blame import unexpected
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import RequestStats, VerifyLevel
from occystrap_core.terminal_text import counted, images_text, size_text
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import PlatformChoices, Receipt
from occystrap_core.verification.results import CheckResult, Outcome, Presence


_PLACES = 3


@dataclass(eq=False, repr=False)
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
    """Bytes of layers that were written, 0 if all were there; None if nothing was to be copied."""
    reused: int = 0
    """Bytes of layers' blobs that an interrupted run had kept, so that the source was not asked for them."""
    seconds: float = 0.0
    done_before: bool = False
    """Whether an earlier run copied the image and it is still there."""
    source_asked: bool = True
    """Whether an image that was done before is what the source has now."""
    settle_seconds: float = 0.0
    """How long the destination did not show all that was written, 0 if it did at once."""
    left_out: bool = False
    """Whether it is an artifact of a pattern, which the destination cannot hold: then it is none of the run's images.
    """
    verb: str = 'copied'
    """What was done, if it was not verified."""
    written_to: str = ''
    """Where the receipt says that the image was written, if another place was verified."""
    one_of_several: bool = False
    """Whether its source goes to several destinations."""
    looks: Sequence[dict[str, Any]] | None = None
    """Every expectation with its observations, if they are to be reported."""

    def received(self, receipt: Receipt) -> None:
        """Take over the receipt of the image, and its destination from there."""
        self.receipt, self.destination = receipt, receipt.destination

    def judged(self, verdict: Verdict) -> None:
        """Take over a verdict."""
        self.outcome, self.findings = verdict.outcome, verdict.findings
        self.settle_seconds += verdict.settle_seconds

    def left_out_layers(self) -> dict[str, int]:
        """Return the layers that a delta lacks on purpose, with their sizes: if it was looked at, those it did lack."""
        if self.looks is None:
            return {each.digest: each.size for each in self.receipt.left_out} if self.receipt else {}
        return {each['digest']: each['size'] for each in self.looks
                if any(seen['presence'] == Presence.LEFT_OUT.value for seen in each['observed'])}

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
        """What became of it, in one word: failed, unverified, unchanged, or what was done."""
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
    """An image that the source no longer has, and why it is still at the destination; gone if `reason` is empty."""

    receipt: Receipt
    reason: str = ''

    def line(self, dry_run: bool = False) -> str:
        """Return what became of it, as one line for the user."""
        name = f'{self.receipt.reference} at {self.receipt.destination}'
        digest = self.receipt.manifest_digest or self.receipt.image_id
        if self.reason:
            return f'{"would not prune" if dry_run else "NOT PRUNED"} {name}: {self.reason}'
        return f'{"would prune" if dry_run else "pruned"} {name} ({digest})'

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {'reference': self.receipt.reference, 'destination': self.receipt.destination,
                'digest': self.receipt.manifest_digest or self.receipt.image_id, 'reason': self.reason or None}


@dataclass(eq=False, repr=False)
class RunReport:
    """All images of a run; `seconds` is wall time."""

    level: VerifyLevel
    requests: RequestStats
    images: list[ImageReport] = field(default_factory=list)
    seconds: float = 0.0
    receipts: tuple[str, str] | None = None
    """The file of receipts that was written, and its digest."""
    copies: bool = False
    """Whether images were to be copied, not only verified."""
    error: str = ''
    """Why the run ended early."""
    destinations: int = 1
    """The most destinations that one source has."""
    notes: list[str] = field(default_factory=list)
    """Lines for the user about what is no image of the run."""
    pruned: list[PrunedImage] = field(default_factory=list)
    """Images that the source no longer has, gone or not."""
    pruning: bool = False
    """Whether there may be such images, so that a source without any is no failure."""

    @property
    def succeeded(self) -> bool:
        """Whether every image succeeded, and there was one."""
        done = all(image.succeeded for image in self.images) and not any(each.reason for each in self.pruned)
        return (bool(self.images) or self.pruning) and done

    def leave_out(self) -> None:
        """Count the artifacts that were left out in one note, and no longer among the images."""
        if count := sum(image.left_out for image in self.images):
            self.images = [image for image in self.images if not image.left_out]
            self.notes.append(left_out_text(count))

    def summary(self) -> str:
        """Return the summary, always the last line for the user."""
        done = [image for image in self.images if not image.failure]
        parts = [self._counted(len(done)), counted(sum(image.layers for image in done), 'layer'),
                 self._size(done), f'{self.seconds:.1f}s', *self._network()]
        if unchanged := sum(image.done_before and image.source_asked for image in done):
            parts.append(f'{unchanged} unchanged')
        if before := sum(image.done_before and not image.source_asked for image in done):
            parts.append(f'{before} done before (source not asked)')
        if left_out := {digest: size for image in done for digest, size in image.left_out_layers().items()}:
            parts.append(f'{counted(len(left_out), "layer")} ({size_text(sum(left_out.values()))}) left out')
        if self.pruned:
            gone = sum(not each.reason for each in self.pruned)
            parts += [f'{gone} pruned', *([f'{len(self.pruned) - gone} NOT PRUNED'] if gone < len(self.pruned) else [])]
        if self.level is not VerifyLevel.NONE:
            parts += self._verification()
        elif failed := len(self.images) - len(done):
            parts.append(f'{failed} FAILED')
        settled = max((image.settle_seconds for image in done if image.succeeded), default=0.0)
        return f'Summary: {", ".join(parts)}{settled_text(settled)}'

    def _size(self, done: Sequence[ImageReport]) -> str:
        if self.copies:
            return f'{size_text(self.requests.bytes_moved)} moved'
        return size_text(sum(image.size for image in done))

    def _counted(self, done: int) -> str:
        if self.destinations < 2:
            return images_text(done, len(self.images))
        sources = len({image.reference for image in self.images})
        return f'{done}/{len(self.images)} copies of {counted(sources, "image")}'

    def places(self) -> str:
        """Return which places were looked at, and where their images were written to if that was elsewhere."""
        found = list(dict.fromkeys((image.destination, image.written_to) for image in self.images))
        shown = [f'{place} (written to {before})' if before else place for place, before in found[:_PLACES]]
        return ', '.join(shown) + (f' and {len(found) - _PLACES} more' if len(found) > _PLACES else '')

    def _network(self) -> list[str]:
        counts = [(self.requests.retries, 'retry', 'retries'),
                  (self.requests.rate_limits, 'rate limit', 'rate limits')]
        return [counted(*each) for each in counts if each[0]]

    def _verification(self) -> list[str]:
        verified = [image for image in self.images if image.outcome is Outcome.VERIFIED and not image.failure]
        unverified = [image for image in self.images if image.outcome is Outcome.UNVERIFIED]
        failed = len(self.images) - len(verified) - len(unverified)
        parts = [f'{len(verified)}/{len(self.images)} verified']
        parts += [f'{len(unverified)} UNVERIFIED'] if unverified else []
        return parts + ([f'{failed} FAILED'] if failed else [])

    def stopped(self, message: str) -> None:
        """Record why the run ended early, also as the failure of each image that had not ended."""
        self.error = message
        for image in self.images:
            if len(self.images) == 1 or not (image.seconds or image.failure):
                image.failure = image.failure or message

    def how_to_resume(self) -> str:
        """Return how to copy what is left, if a part of the images was; else an empty string."""
        if not self.copies or self.succeeded or not any(image.succeeded for image in self.images):
            return ''
        proved = f' and --resume {self.receipts[0]}' if self.receipts else ''
        return f'Resume: the same command{proved}; what is there and current is left as it is'

    def counts(self) -> dict[str, Any]:
        """Return the numbers of the run: `changed` images were copied, `bytes_moved` of layers written, `bytes_reused`
        of what an interrupted run had kept; seconds."""
        good = [image for image in self.images if image.succeeded]
        return {'images': len(self.images), 'destinations': self.destinations,
                'changed': sum(not image.done_before for image in good),
                'unchanged': sum(image.done_before for image in good), 'failed': len(self.images) - len(good),
                'pruned': sum(not each.reason for each in self.pruned),
                'bytes_moved': self.requests.bytes_moved, 'bytes_reused': self.requests.bytes_reused,
                'seconds': round(self.seconds, 3), 'retries': self.requests.retries}

    def to_json(self) -> dict[str, Any]:
        """Return the whole report for programs."""
        return {'level': self.level.value, 'succeeded': self.succeeded, 'seconds': round(self.seconds, 3),
                'requests': self.requests.requests, 'retries': self.requests.retries,
                'rate_limits': self.requests.rate_limits, 'summary': self.summary(),
                **({'counts': self.counts()} if self.copies else {}), **({'error': self.error} if self.error else {}),
                **({'notes': self.notes} if self.notes else {}),
                **({'pruned': [each.to_json() for each in self.pruned]} if self.pruned else {}),
                **({'receipts': dict(zip(('path', 'digest'), self.receipts))} if self.receipts else {}),
                'images': [image.to_json() for image in self.images]}


def left_out_text(count: int) -> str:
    """Return the note on artifacts that are left out."""
    what = f'{count} artifacts that are' if count > 1 else '1 artifact that is'
    return f'left out {what} no image, such as a chart; registry://, layout:// and tar://…?format=oci can take it'


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
    """Return the number of layers of a receipt's image, or of all images in its index, each once."""
    return len(receipt.diff_ids) or len(receipt.of_kind('layer'))
