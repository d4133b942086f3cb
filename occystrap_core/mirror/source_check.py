"""Checking a destination against the present state of the source: the source's documents say what to expect.

An image in another form at its destination, such as plain tars, is compared by its config and diff_ids. An image that
filters changed can only be compared by its receipt, which names the source's digest.
"""
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import NamedTuple

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.schemes import InputScheme, WriterScheme, load
from occystrap_core.api.uri import Location
from occystrap_core.errors import ImageNotFound, InvalidImage, OccystrapError, UsageError
from occystrap_core.image.image import Content, Image
from occystrap_core.image.layer import Layer
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.reference import Reference
from occystrap_core.mirror.source_receipt import Counterpart, SourceNow, receipt_of, source_now
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_source, source_location
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.settings import VerifyLevel
from occystrap_core.tasks.request_check import recorded_note
from occystrap_core.verification.expectation import UNKNOWN_SIZE, Evidence, Expectation
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import (
    READ, CheckResult, Observation, Outcome, Presence, Severity, outcome_of,
)


class Compared(NamedTuple):
    """The verdict, the receipt that it is based on, and lines for the user about the comparison."""

    verdict: Verdict
    receipt: Receipt | None = None
    notes: Sequence[str] = ()


def compare(plugins: Plugins, pair: Counterpart, level: VerifyLevel) -> Compared:
    """Return the verdict: verified if the destination has the image that the source has now.

    It is failed if the source has no such image, unverified if the source cannot be asked. Raises Cancelled.
    """
    try:
        return _Comparison(plugins, pair, level, source_now(plugins, pair)).run()
    except ImageNotFound as error:
        return _verdict(Outcome.FAILED, Severity.ERROR, pair, f'the source does not have it now: {error}')
    except OccystrapError as error:
        return _verdict(Outcome.UNVERIFIED, Severity.UNVERIFIED, pair, str(error))


def _verdict(outcome: Outcome, severity: Severity, pair: Counterpart, message: str) -> Compared:
    return Compared(Verdict(outcome, [CheckResult(severity, str(pair.reference), message)]), pair.receipt)


class _Comparison:
    """Compares one image, as precisely as its destination and its receipt allow."""

    def __init__(self, plugins: Plugins, pair: Counterpart, level: VerifyLevel, now: SourceNow) -> None:
        self._plugins, self._pair, self._level, self._now = plugins, pair, level, now
        self._moved = plugins.find(WriterScheme, pair.location.scheme).moved

    def run(self) -> Compared:
        """Return the verdict; raises UsageError if only a receipt could tell and there is none."""
        known = self._pair.receipt
        if known and self._pair.filters:
            said = (f'{self._pair.reference}: {" ".join(self._pair.filters)} changed it, so what its receipt says it '
                    'was made from is compared')
            return self._by_receipt(known, self._now.digest, known.source_digest or known.image_id, said)
        if self._pair.has_filters or not (self._moved or known):
            raise UsageError('only the receipt of the run that copied it can show this: give the file that process '
                             '--receipt wrote')
        if known and not self._moved:
            return self._by_receipt(known, self._now.receipt.image_id, known.image_id)
        return self._by_documents()

    def _by_receipt(self, known: Receipt, now: Digest, then: Digest, note: str = '') -> Compared:
        """Compare a digest in the receipt with the source's, and the destination with the receipt."""
        expected = Expectation('source', str(self._pair.reference), now, UNKNOWN_SIZE, Evidence.SOURCE)
        seen = Observation(expected, Presence.FOUND, READ, digest=then)
        verdict = verify_receipt(self._plugins, known, self._level, self._pair.settings, seen)
        return Compared(verdict, known, [*([note] if note else ()), *recorded_note(known)])

    def _by_documents(self) -> Compared:
        """Compare the destination with the source's documents."""
        try:
            expected = self._at_destination(self._now.receipt)
        except UsageError:  # the destination needs manifests, which the source lacks
            return self._by_image_id() or self._unlike()
        verdict = verify_receipt(self._plugins, expected, self._level, self._pair.settings)
        single = expected.keeps_manifests and not expected.is_index
        other = self._by_image_id() if verdict.outcome is Outcome.FAILED and single else None
        return other or Compared(verdict, expected, [*self._hint(verdict), *recorded_note(expected)])

    def _by_image_id(self) -> Compared | None:
        """Compare by config and layers if the destination has the same image with another manifest; None if it has not.

        A manifest there may list any blobs beside that config: at every level they are read, which alone shows that
        they are the config's layers.
        """
        with ExitStack() as stack:
            found = self._there(stack)
            if found is None:
                return None
            content, there = found
            if not isinstance(content, Image) or there.image_id != self._now.receipt.image_id or (
                    there.manifest_digest == self._now.receipt.manifest_digest):
                return None
            compared = self._by_other_manifest(there)
            layers = self._pair.settings.in_parallel(_layer_problem, content.layers)
        findings = [*compared.verdict.findings, *(each for each in layers if each)]
        return compared._replace(verdict=compared.verdict._replace(outcome=outcome_of(findings), findings=findings))

    def _by_other_manifest(self, there: Receipt) -> Compared:
        note = (f'{self._pair.reference}: the manifest is {there.manifest_digest} here and '
                f'{self._now.receipt.manifest_digest or "missing"} at the source; the config is the same, so the '
                'layers are compared')
        moved = load(self._moved)(there, self._pair.location)
        expected = replace(moved, expectations=tuple(
            each._replace(evidence=Evidence.SOURCE) for each in moved.expectations))
        return self._by_receipt(expected, self._now.receipt.image_id, there.image_id, note)

    def _unlike(self) -> Compared:
        with ExitStack() as stack:
            found = self._there(stack)
        has = f'the destination has {found[1].image_id}' if found else 'the destination has none that can be read'
        return _verdict(Outcome.FAILED, Severity.ERROR, self._pair,
                        f'the source has image {self._now.receipt.image_id}, {has}')

    def _at_destination(self, receipt: Receipt) -> Receipt:
        """Return the receipt for the destination, with the source's items as expectations.

        A source of blobs does not tell the size of a tar; it is taken from an earlier receipt, if there is one.
        """
        moved: Receipt = load(self._moved)(receipt, self._pair.location)
        known = self._pair.receipt.of_kind('layer') if self._pair.receipt else ()
        sizes = {each.digest: each.size for each in known}
        return replace(moved, expectations=tuple(
            each._replace(evidence=Evidence.SOURCE, size=sizes.get(each.digest, each.size) if each.has_unknown_size
                          else each.size) for each in moved.expectations))

    def _there(self, stack: ExitStack) -> tuple[Content, Receipt] | None:
        """Return what the destination has under the image's name, open until `stack` closes it, and a receipt made from
        its documents; None if nothing."""
        try:
            content = stack.enter_context(self._opened_there())
            return content, receipt_of(content, self._pair.name, '')
        except (ImageNotFound, InvalidImage, UsageError):
            return None

    @contextmanager
    def _opened_there(self) -> Iterator[Content]:
        """Open what the destination has under the image's name, or as its only image; raises as an input does."""
        pair = self._pair
        place = source_location(self._plugins, _as_source(self._plugins, pair.location))
        opened = open_source(self._plugins, place, pair.settings)
        assert isinstance(opened, ImageInput)
        with closing(opened):
            names = list(opened.references())
            found = [each for each in names if _same_name(each, pair.name)] or names
            if len(found) > 1 and found == names:
                raise ImageNotFound(f'{place} has no {pair.name}')
            with opened.open(found[0]) as content:
                yield content

    def _hint(self, verdict: Verdict) -> Sequence[str]:
        """Return advice for the case that a whole index was expected but one platform may have been copied."""
        choices = self._now.platforms
        if verdict.outcome is not Outcome.FAILED or not self._now.receipt.is_index or self._pair.receipt:
            return ()
        return [f'{self._pair.reference}: all of {len(choices.at_source)} platforms were expected, as process copies '
                'them there: use --platform if some were copied']


def _layer_problem(layer: Layer) -> CheckResult | None:
    """Return what is wrong with a layer at the destination; its end compares blob and tar with manifest and config."""
    item = f'layer {layer.descriptor.digest if layer.descriptor else layer.diff_id}'
    try:
        with layer.tar() as stream:
            for _ in stream.chunks():
                pass
    except (InvalidImage, ImageNotFound) as error:
        return CheckResult(Severity.ERROR, item, str(error))
    except OccystrapError as error:
        return CheckResult(Severity.UNVERIFIED, item, str(error))
    return None


def _as_source(plugins: Plugins, location: Location) -> str:
    """Return the URI for reading a destination as a source."""
    options = {each.name for each in plugins.find(InputScheme, location.scheme).all_options}
    return str(location._replace(given={name: text for name, text in location.given.items() if name in options}))


def _same_name(there: Reference, wanted: Reference) -> bool:
    there, wanted = there.with_default_tag(), wanted.with_default_tag()
    return there == wanted or not there.host and there == wanted._replace(host='')
