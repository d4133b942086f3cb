"""A run: every image that the source names, copied and verified; image N is verified while N+1 is copied."""
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

from occystrap_core.errors import ImageNotFound, OccystrapError, UsageError
from occystrap_core.image.image import Image
from occystrap_core.image_filter import ImageFilter
from occystrap_core.image_input import ImageInput
from occystrap_core.oci.reference import Reference
from occystrap_core.opening import (
    destination_location, open_filters, open_input, open_output, require_many, source_location,
)
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.pipeline.progress import Progress
from occystrap_core.pipeline.receipt_file import ReceiptFile
from occystrap_core.pipeline.report import ImageReport, RunReport
from occystrap_core.plugins import Plugins
from occystrap_core.settings import Settings
from occystrap_core.uri import Location
from occystrap_core.verification.levels import VerifyLevel
from occystrap_core.verification.results import CheckResults
from occystrap_core.verification.verifying import verify_receipt


@dataclass
class Run:
    """Everything that one invocation of `process` works with."""

    plugins: Plugins
    settings: Settings
    level: VerifyLevel
    progress: Progress
    receipts: ReceiptFile | None = None

    def process(self, source: str, destination: str, filters: Sequence[str] = ()) -> RunReport:
        """Copy all images that `source` names to `destination` and verify them; returns what was done.

        Raises OccystrapError when the only image fails; among several a failure is reported and the others go on.
        """
        started = time.monotonic()
        report = RunReport(self.level, self.settings.requests)
        read_from = source_location(self.plugins, source)
        write_to = destination_location(self.plugins, destination)
        _refuse_same_place(read_from, write_to)
        opened_filters = open_filters(self.plugins, filters, self.settings)
        with closing(open_input(self.plugins, read_from, self.settings)) as images:
            references = list(images.references())
            if len(references) > 1:
                require_many(self.plugins, write_to)
            self._process_all(images, references, write_to, opened_filters, report)
        report.seconds = time.monotonic() - started
        return report

    def _process_all(self, images: ImageInput, references: Sequence[Reference], write_to: Location,
                     filters: Sequence[ImageFilter], report: RunReport) -> None:
        verifying = ThreadPoolExecutor(1, 'verification')
        pending: list[tuple[ImageReport, Future[CheckResults]]] = []
        try:
            for reference in references:
                image = ImageReport(str(reference), str(write_to))
                report.images.append(image)
                self._copy_or_note(images, reference, write_to, filters, image, only=len(references) == 1)
                if self.level is not VerifyLevel.NONE and image.receipt:
                    pending.append((image, verifying.submit(verify_receipt, self.plugins, image.receipt, self.level,
                                                            self.settings)))
            for image, future in pending:
                findings = future.result()
                image.outcome, image.findings = findings.outcome, findings.results
        finally:
            verifying.shutdown(wait=False, cancel_futures=True)

    def _copy_or_note(self, images: ImageInput, reference: Reference, write_to: Location,
                      filters: Sequence[ImageFilter], report: ImageReport, only: bool) -> None:
        """Copy one image; a failure is raised when it is the only one, else kept in its report."""
        try:
            self._copy(images, reference, write_to, filters, report)
        except Exception as error:  # whatever it is, the other images have nothing to do with it
            if only or self.settings.cancellation.cancelled:
                raise
            known = isinstance(error, OccystrapError)
            report.failure = str(error) if known else f'internal error: {type(error).__name__}: {error}'

    def _copy(self, images: ImageInput, reference: Reference, write_to: Location, filters: Sequence[ImageFilter],
              report: ImageReport) -> None:
        output = open_output(self.plugins, write_to, self.settings)
        with images.open(reference) as source:
            _require_platform(source, self.settings)
            image = _filtered(source, filters)
            total = sum(layer.stored_size for layer in image.layers)
            with self.progress.image(str(reference), total) as progress:
                copy = ImageCopy(image, output, self.settings, str(images.location), progress.advance)
                report.receipt = copy.run()
        report.destination = report.receipt.destination
        report.layers, report.size = len(copy.layers), sum(layer.size for layer in copy.layers)
        if self.receipts:
            self.receipts.add(report.receipt)


def _require_platform(image: Image, settings: Settings) -> None:
    """Raise ImageNotFound when the user asked for a platform and the only image there is has another."""
    wanted = settings.platform
    if not wanted or image.sequential:
        return
    actual = image.config.platform
    if not actual.variant:  # many configs leave it out, also below an index that tells it
        wanted = replace(wanted, variant='')
    if not actual.satisfies(wanted):
        raise ImageNotFound(f'no image for platform {settings.platform} at {image.reference}; there is: {actual}')


def _filtered(image: Image, filters: Sequence[ImageFilter]) -> Image:
    for each in filters:
        image = each.apply(image)
    return image


def _refuse_same_place(source: Location, destination: Location) -> None:
    """Raise UsageError for a copy onto itself, which would destroy what it reads."""
    same_path = source.path == destination.path or os.path.realpath(source.path) == os.path.realpath(destination.path)
    shared = source.options.keys() & destination.options.keys()  # such as a daemon's socket: another one, another place
    elsewhere = any(source.options[name] != destination.options[name] for name in shared)
    if source.scheme == destination.scheme and same_path and not elsewhere:
        raise UsageError(f'source and destination are the same place: {destination}')
