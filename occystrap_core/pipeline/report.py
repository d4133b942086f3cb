"""What a run did: per image and in all, as the summary line for people and as JSON for programs."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from occystrap_core.errors import Cancelled, OccystrapError, system_text
from occystrap_core.plugins.blame import unexpected
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import RequestStats, VerifyLevel
from occystrap_core.terminal_text import size_text
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import CheckResult, Outcome


@dataclass
class ImageReport:
    """One image: `size` in bytes of its layers at the destination; `outcome` is None where nobody asked."""

    reference: str
    destination: str
    layers: int = 0
    size: int = 0
    receipt: Receipt | None = None
    outcome: Outcome | None = None
    findings: Sequence[CheckResult] = ()
    failure: str = ''
    notes: Sequence[str] = ()
    """Lines for people about what was left out on purpose."""
    platforms: Sequence[str] = ()
    platforms_at_source: Sequence[str] = ()
    """Of all images in the index that these were taken from; empty where there is none."""
    seconds: float = 0.0
    done_before: bool = False
    """Copied by an earlier run, and found in its place by this one."""
    verb: str = 'copied'
    """What was done, where it was not verified."""

    looks: Sequence[dict[str, Any]] | None = None
    """Every expectation with what was observed of it, where that is reported."""

    def judged(self, verdict: Verdict) -> None:
        """Take over what verification says."""
        self.outcome, self.findings = verdict.outcome, verdict.findings

    @property
    def succeeded(self) -> bool:
        """Whether the image was processed and, where that was asked for, proved to be there."""
        return not self.failure and self.outcome in (None, Outcome.VERIFIED)

    def line(self) -> str:
        """Return what became of the image, in one line for people."""
        if self.failure:
            return f'{self.reference} FAILED: {self.failure}'
        fate = 'FAILED' if self.outcome is Outcome.FAILED else self.outcome.value if self.outcome else self.verb
        before = ', done before' if self.done_before else ''
        return (f'{self.reference} {self.layers} layers {size_text(self.size)} {self.seconds:.1f}s '
                f'{fate.upper() if self.outcome is Outcome.UNVERIFIED else fate}{before}')

    def to_json(self) -> dict[str, Any]:
        """Return the image's part of the JSON report."""
        return {
            'reference': self.reference, 'destination': self.destination, 'layers': self.layers, 'bytes': self.size,
            'image_id': self.receipt.image_id if self.receipt else None,
            'manifest_digest': self.receipt.manifest_digest if self.receipt else None,
            'evidence': self.receipt.evidence.value if self.receipt else None,
            'outcome': self.outcome.value if self.outcome else None, 'failure': self.failure or None,
            'seconds': round(self.seconds, 3), 'done_before': self.done_before, 'notes': list(self.notes),
            'findings': [{'severity': each.severity.value, 'item': each.item, 'message': each.message}
                         for each in self.findings],
            **({} if self.looks is None else {'expectations': self.looks}),
            **({'platforms': {'taken': list(self.platforms), 'at_source': list(self.platforms_at_source)}}
               if self.platforms_at_source else {})}


@dataclass
class RunReport:
    """All images of a run; `seconds` is wall time."""

    level: VerifyLevel
    requests: RequestStats
    images: list[ImageReport] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether every image succeeded, and there was one."""
        return bool(self.images) and all(image.succeeded for image in self.images)

    def summary(self) -> str:
        """Return the summary line, always the last that people see."""
        done = [image for image in self.images if not image.failure]
        parts = [f'{len(done)}/{len(self.images)} images', f'{sum(image.layers for image in done)} layers',
                 size_text(sum(image.size for image in done)), f'{self.seconds:.1f}s', *self._network()]
        if before := sum(image.done_before for image in done):
            parts.append(f'{before} done before')
        if self.level is not VerifyLevel.NONE:
            parts += self._verification()
        elif failed := len(self.images) - len(done):
            parts.append(f'{failed} FAILED')
        return f'Summary: {", ".join(parts)}'

    def _network(self) -> list[str]:
        counts = [(self.requests.retries, 'retry', 'retries'),
                  (self.requests.rate_limits, 'rate limit', 'rate limits')]
        return [f'{count} {one if count == 1 else many}' for count, one, many in counts if count]

    def _verification(self) -> list[str]:
        verified = [image for image in self.images if image.outcome is Outcome.VERIFIED and not image.failure]
        unverified = [image for image in self.images if image.outcome is Outcome.UNVERIFIED]
        failed = len(self.images) - len(verified) - len(unverified)
        parts = [f'{len(verified)}/{len(self.images)} verified']
        parts += [f'{len(unverified)} UNVERIFIED'] if unverified else []
        return parts + ([f'{failed} FAILED'] if failed else [])

    def to_json(self) -> dict[str, Any]:
        """Return the whole report for programs."""
        return {'level': self.level.value, 'succeeded': self.succeeded, 'seconds': round(self.seconds, 3),
                'requests': self.requests.requests, 'retries': self.requests.retries,
                'rate_limits': self.requests.rate_limits, 'summary': self.summary(),
                'images': [image.to_json() for image in self.images]}


def failure_text(error: BaseException, plugins: Plugins) -> str:
    """Return what to tell of an image's failure among others; what is no OccystrapError is somebody's fault."""
    if isinstance(error, OSError):
        return system_text(error)
    known = isinstance(error, OccystrapError | Cancelled)
    return str(error) if known else unexpected(error, plugins)
