"""The result of a run in total: the summary line for the user, and JSON for programs."""
from collections.abc import Sequence
from typing import Any

from occystrap_core.report.image_report import ImageReport, PrunedImage, left_out_text, settled_text
from occystrap_core.report.image_totals import ImageTotals
from occystrap_core.settings import RequestStats, VerifyLevel
from occystrap_core.terminal_text import counted, images_text, size_text
from occystrap_core.verification.results import Outcome

_PLACES = 3


class RunReport:
    """All images of a run; `seconds` is wall time. `copies`: images were to be copied, not only verified."""

    def __init__(self, level: VerifyLevel, requests: RequestStats, images: Sequence[ImageReport] = (),
                 seconds: float = 0.0, copies: bool = False) -> None:
        self.level, self.requests, self.seconds, self.copies = level, requests, seconds, copies
        self.images = list(images)
        self.receipts: tuple[str, str] | None = None
        """The file of receipts that was written, and its digest."""
        self.error = ''
        """Why the run ended early."""
        self.destinations = 1
        """The largest number of destinations of one source."""
        self.sources: int | None = None
        """The number of source images, each counted once for all destinations, if `images` does not list all."""
        self.notes: list[str] = []
        """Lines for the user that are not about an image of the run."""
        self.pruned: list[PrunedImage] = []
        """Images that the source no longer has, whether removed or not."""
        self.others = ImageTotals()
        """Totals of images that succeeded and are not in `images`."""
        self.pruning = False
        """Whether images may be pruned, so that a source without images is not a failure."""
        self.has_more = False
        """Whether a run that ended early had more images than those in the report."""

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.images) + self.others.count

    @property
    def succeeded(self) -> bool:
        """Whether every image succeeded, there was at least one, and the run was not stopped."""
        done = all(image.succeeded for image in self.images) and not any(each.reason for each in self.pruned)
        return (bool(self.count) or self.pruning) and done and not self.error

    def leave_out(self) -> None:
        """Replace the artifacts that were left out by one note that counts them."""
        if count := sum(image.left_out for image in self.images):
            self.images = [image for image in self.images if not image.left_out]
            self.notes.append(left_out_text(count))

    def summary(self) -> str:
        """Return the summary, always the last line for the user."""
        done = [image for image in self.images if not image.failure]
        layers = self.others.layers + sum(image.layers for image in done)
        parts = [self._counted(self.others.count + len(done)), counted(layers, 'layer'),
                 self._size(done), f'{self.seconds:.1f}s', *self._network()]
        if unchanged := self.others.unchanged + sum(image.done_before and image.source_asked for image in done):
            parts.append(f'{unchanged} unchanged')
        if before := self.others.before + sum(image.done_before and not image.source_asked for image in done):
            parts.append(f'{before} done before (source not asked)')
        if left_out := {**self.others.left_out,
                        **{digest: size for image in done for digest, size in image.left_out_layers().items()}}:
            parts.append(f'{counted(len(left_out), "layer")} ({size_text(sum(left_out.values()))}) left out')
        if self.pruned:
            gone = sum(not each.reason for each in self.pruned)
            parts += [f'{gone} pruned', *([f'{len(self.pruned) - gone} NOT PRUNED'] if gone < len(self.pruned) else [])]
        if self.level is not VerifyLevel.NONE:
            parts += self._verification()
        elif failed := len(self.images) - len(done):
            parts.append(f'{failed} FAILED')
        settled = max([self.others.settle_seconds, *(image.settle_seconds for image in done if image.succeeded)])
        return f'Summary: {", ".join(parts)}{settled_text(settled)}'

    def _size(self, done: Sequence[ImageReport]) -> str:
        if self.copies:
            return f'{size_text(self.requests.bytes_moved)} moved'
        return size_text(self.others.size + sum(image.size for image in done))

    def _counted(self, done: int) -> str:
        if self.destinations < 2:
            return f'{done}/{self._total} images' if self.has_more else images_text(done, self.count)
        sources = len({image.reference for image in self.images}) if self.sources is None else self.sources
        return f'{done}/{self._total} copies of {counted(sources, "image")}'

    @property
    def _total(self) -> str:
        return f'{self.count}+' if self.has_more else str(self.count)

    def places(self) -> str:
        """Return which places were checked, and where their images had been written if that was elsewhere."""
        found, before = (list(dict.fromkeys(each)) for each in (
            (image.destination for image in self.images), filter(None, (image.written_to for image in self.images))))
        return _first(found) + (f' (written to {_first(before)})' if before else '')

    def _network(self) -> list[str]:
        counts = [(self.requests.retries, 'retry', 'retries'),
                  (self.requests.rate_limits, 'rate limit', 'rate limits')]
        return [counted(*each) for each in counts if each[0]]

    def _verification(self) -> list[str]:
        verified = [image for image in self.images if image.outcome is Outcome.VERIFIED and not image.failure]
        unverified = [image for image in self.images if image.outcome is Outcome.UNVERIFIED]
        failed = len(self.images) - len(verified) - len(unverified)
        parts = [f'{self.others.count + len(verified)}/{self._total} verified']
        parts += [f'{len(unverified)} UNVERIFIED'] if unverified else []
        return parts + ([f'{failed} FAILED'] if failed else [])

    def stopped(self, message: str) -> None:
        """Record why the run ended early, also as the failure of each image that had not ended."""
        self.error = message
        for image in self.images:
            if len(self.images) == 1 or not (image.seconds or image.failure):
                image.failure = image.failure or message

    def stopped_json(self, message: str) -> dict[str, Any]:
        """Record why the run ended early; return the report for programs."""
        self.stopped(message)
        return self.to_json()

    def how_to_resume(self) -> str:
        """Return how to copy the rest, if only a part of the images was copied; else an empty string."""
        succeeded = self.others.count or any(image.succeeded for image in self.images)
        if not self.copies or self.succeeded or not succeeded:
            return ''
        proved = f' with --resume {self.receipts[0]}' if self.receipts else ''
        return f'Resume: run the same command{proved}; what is already there and current is skipped'

    def counts(self) -> dict[str, Any]:
        """Return the numbers of the run: `changed` images that were copied, `bytes_moved` of layers that were written,
        `bytes_reused` that an interrupted run had kept; seconds."""
        good = [image for image in self.images if image.succeeded]
        there = sum(image.done_before for image in good) + self.others.unchanged + self.others.before
        return {'images': self.count, 'destinations': self.destinations,
                'changed': self.others.count + len(good) - there, 'unchanged': there,
                'failed': len(self.images) - len(good),
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


def _first(places: Sequence[str]) -> str:
    return ', '.join(places[:_PLACES]) + (f' and {len(places) - _PLACES} more' if len(places) > _PLACES else '')
