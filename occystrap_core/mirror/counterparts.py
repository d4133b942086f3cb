"""Which image of a source each image of a destination is compared with, for `verify --against`."""
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.schemes import WriterScheme, load
from occystrap_core.api.selection_options import without_selection
from occystrap_core.api.uri import Location, parse_uri
from occystrap_core.destinations.destination_fields import filled_in, has_fields
from occystrap_core.errors import UsageError
from occystrap_core.mirror.source_receipt import Counterpart
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import (
    destination_location, open_source, source_location, takes_whole_indexes,
)
from occystrap_core.receipts.kept_receipts import kept_receipts
from occystrap_core.report.image_report import ImageReport
from occystrap_core.settings import Settings
from occystrap_core.sources.selection import open_selected, print_notes, select
from occystrap_core.tasks.opened_inputs import opened_inputs
from occystrap_core.tasks.task_list import TaskList
from occystrap_core.verification.receipt import KeptReceipts, Receipt
from occystrap_core.verification.results import CheckResult, Outcome, Severity

_UNNAMED = 'the source does not list it'


class Counterparts(NamedTuple):
    """Pairs to compare, and images without a counterpart, each with its verdict."""

    pairs: Sequence[Counterpart]
    single: Sequence[ImageReport]


def counterparts_at(plugins: Plugins, settings: Settings, source: str, destination: str, closing: ExitStack,
                    ) -> Counterparts:
    """Return what `process` would copy from `source` to `destination`, with the receipts that are kept there.

    `single` has the sources of a list that cannot be listed and, unless the user named a single image, the images that
    the destination keeps receipts of and the source does not name. Raises UsageError, and the error of the only source.
    """
    todo = closing.enter_context(TaskList(plugins, settings))
    todo.expand(source, destination, ())
    print_notes(todo.notes)
    pairs = [Counterpart(task.images, task.reference, task.settings, task.output.location,
                         task.output.made().kept_receipt(task.reference), bool(task.filters)) for task in todo.tasks]
    unlisted = [_report(each.reference, each.destination, Severity.UNVERIFIED, each.failure) for each in todo.failed]
    if unlisted or len(pairs) == 1 and todo.tasks[0].chosen:
        return Counterparts(pairs, unlisted)
    named = {each.receipt.identity for each in pairs if each.receipt}
    kept = kept_receipts(plugins, [each.location for each in pairs])
    return Counterparts(pairs, [_alone(each) for each in kept if each.identity not in named])


def counterparts_of(plugins: Plugins, settings: Settings, source: str, receipts: Sequence[Receipt], closing: ExitStack,
                    ) -> Counterparts:
    """Pair the images of receipts with the images of the same name in `source`.

    `single` has the images that only one side has. Raises UsageError, and the error of a source that cannot be listed.
    """
    named = {name: pair for pair in _listed(plugins, settings, source, closing) for name in reversed(_names(*pair))}
    found = {id(each): next(filter(None, map(named.get, _names_of(each))), None) for each in receipts}
    taken = {id(pair) for pair in found.values()}
    rest = list({id(pair): pair for pair in named.values() if id(pair) not in taken}.values())
    if len(receipts) == len(rest) == 1:
        found, rest = {id(receipts[0]): rest[0]}, []
    pairs = [_pair(plugins, settings, *pair, each) for each in receipts if (pair := found[id(each)])]
    return Counterparts(pairs, [
        *(_alone(each) for each in receipts if not found[id(each)]),
        *(_report(str(name), '', Severity.ERROR, 'there is no receipt of it') for _, name in rest)])


def fields_of(plugins: Plugins, source: str) -> Location | None:
    """Return the location of a source with fields to fill in, or of a registry without a repository; None for any
    other."""
    written = source_location(plugins, source)
    registries = {each.name for _, each in plugins.declared(WriterScheme) if each.by_digest}
    if written.scheme in registries and '/' not in written.path.rstrip('/'):
        return written.with_path(f'{written.path.rstrip("/")}/{{repository}}:{{tag}}')
    return written if has_fields(written) else None


def counterparts_filled(plugins: Plugins, settings: Settings, written: Location, target: str,
                        receipts: Sequence[Receipt] | None, closing: ExitStack) -> Counterparts:
    """Pair the images of a destination, or of receipts, with the images that a source's fields name.

    The images of a destination are those of the receipts that it keeps or, if it keeps none, those that it has as a
    source. Raises UsageError, and what listing the destination raises.
    """
    kept = KeptReceipts(receipts or (), ())
    if receipts is None and (keeps := plugins.find(WriterScheme, parse_uri(target).scheme).kept_receipts):
        kept = load(keeps)(parse_uri(target))
    if kept.receipts:
        return Counterparts([_filled(plugins, settings, written, each, closing) for each in kept.receipts],
                            [_report(name, target, Severity.UNVERIFIED, reason) for name, reason in kept.unproved])
    instead = 'the place of the images, or their receipts'
    images, there, references = open_selected(plugins, settings, target, instead, closing)
    pairs = []
    for each in references:
        location = destination_location(plugins, f'{there.scheme}://{images.location_of(each).path}')
        named, reference = _at_source(plugins, settings, written, each, closing)
        chosen = replace(settings, whole_index=takes_whole_indexes(plugins, location))
        pairs.append(Counterpart(named, reference, chosen, location, called=each))
    return Counterparts(pairs, [])


def _listed(plugins: Plugins, settings: Settings, source: str, closing: ExitStack,
            ) -> Iterator[tuple[ImageInput, Reference]]:
    for images, location, _ in opened_inputs(plugins, settings, source, closing):
        references, notes = select(images, location)
        print_notes(notes)
        yield from ((images, each) for each in references)


def _names(images: ImageInput, reference: Reference) -> list[str]:
    """Return the names that an image of the source may have in a receipt, the most specific first."""
    named = reference.with_default_tag()
    return [str(without_selection(images.location_of(reference))), str(named), str(named._replace(host=''))]


def _names_of(receipt: Receipt) -> Iterable[str]:
    """Return the names that the image of a receipt may have at the source, the most specific first."""
    named = Reference.parse(receipt.reference).with_default_tag()
    return receipt.source.split(' ')[0], str(named), str(named._replace(host=''))


def _filled(plugins: Plugins, settings: Settings, written: Location, receipt: Receipt, closing: ExitStack,
            ) -> Counterpart:
    """Pair a receipt with the image that the source's fields name, filled in from the receipt."""
    found = _at_source(plugins, settings, written, Reference.parse(receipt.reference), closing)
    return _pair(plugins, settings, *found, receipt)


def _at_source(plugins: Plugins, settings: Settings, written: Location, named: Reference, closing: ExitStack,
               ) -> tuple[ImageInput, Reference]:
    """Return the image that the source's fields name, filled in from a reference."""
    if named.digest and not named.tag:
        written = written.with_path(written.path.replace(':{tag}', '@{digest}'))
    location = filled_in(written, named)
    images = open_source(plugins, location, settings)
    if not isinstance(images, ImageInput):
        raise UsageError(f'{written} is a list: give the images in it, without fields')
    closing.callback(images.close)
    reference, *others = images.references()
    if others:
        raise UsageError(f'{location} names several images, and {named} is one: use more fields')
    return images, reference


def _pair(plugins: Plugins, settings: Settings, images: ImageInput, reference: Reference, receipt: Receipt,
          ) -> Counterpart:
    location = Location.of_receipt(receipt, plugins.find(WriterScheme, receipt.scheme).all_options)
    chosen = replace(settings, whole_index=takes_whole_indexes(plugins, location))
    return Counterpart(images, reference, chosen, location, receipt, called=Reference.parse(receipt.reference))


def _alone(receipt: Receipt) -> ImageReport:
    return replace(_report(receipt.reference, receipt.destination, Severity.ERROR, _UNNAMED), receipt=receipt)


def _report(reference: str, destination: str, severity: Severity, message: str) -> ImageReport:
    outcome = Outcome.FAILED if severity is Severity.ERROR else Outcome.UNVERIFIED
    return ImageReport(reference, destination, outcome=outcome, findings=[CheckResult(severity, reference, message)])
