"""Removing images from a destination that their source no longer has, as proved by receipts of earlier runs."""
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from occystrap_core.api.schemes import WriterScheme, load
from occystrap_core.api.uri import Location, parse_uri
from occystrap_core.destinations.bringers import PrunedSource, destination_name
from occystrap_core.destinations.destination_fields import has_fields
from occystrap_core.errors import OccystrapError, UsageError
from occystrap_core.mirror.unlisted_images import why_unlisted
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.patterns import first_names
from occystrap_core.oci.reference import split_tag
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_output
from occystrap_core.receipts.kept_receipts import kept_receipts, server_of
from occystrap_core.receipts.receipt_file import ReceiptFile
from occystrap_core.report.image_report import PrunedImage
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.task_list import TaskList
from occystrap_core.terminal_text import counted
from occystrap_core.verification.provenance import Bringer
from occystrap_core.verification.receipt import Receipt

PlaceKey = tuple[object, ...]


class Mirror(NamedTuple):
    """The receipts for the destinations of a run: those in the run's own files, and those that the destinations keep.
    """

    in_files: Sequence[Receipt]
    kept: Sequence[Receipt] = ()

    def receipts(self, source: PrunedSource) -> Sequence[Receipt]:
        """Return the receipts of images that may come from a source, each image once, with all its known bringers.

        Receipts that a destination keeps do not count for a list, which is pruned only by the receipts of its own file.
        """
        known: defaultdict[Any, set[Bringer]] = defaultdict(set)
        for each in [*self.kept, *self.in_files]:
            known[_image(each)].update(each.brought_by)
        found = self.in_files if source.is_list else [*self.kept, *self.in_files]
        return [replace(each, brought_by=tuple(sorted(known[_image(each)])))
                for each in {_image(each): each for each in found}.values()]

    def same(self, receipts: Collection[Receipt]) -> list[Receipt]:
        """Return the receipts in files for the same images; one that is identified by digest may have several names."""
        images = set(map(_image, receipts))
        return [each for each in self.in_files if _image(each) in images]


def prune_sources(plugins: Plugins, settings: Settings, todo: TaskList, in_files: Sequence[Receipt], dry_run: bool,
                  file: ReceiptFile | None = None, again: Callable[[], Collection[PlaceKey]] = tuple,
                  ) -> Iterator[PrunedImage]:
    """Remove the images that sources with prune=true no longer have, and their receipts from the run's `file`.

    `in_files` are the receipts of the run's files; those for other servers, where a path means another place, are
    ignored. `again` lists the sources again and returns `place_keys` of what they have now: a run takes hours, and
    another one may have copied what is new since this one listed them.

    Yields the result for each image, in a dry run the expected one. Reasons for keeping images are added to the notes
    of `todo`. Raises UsageError, OutputError.
    """
    written = [each for source in todo.pruned for each in source.destinations]
    outputs = [*(task.output.location for task in todo.tasks),
               *(open_output(plugins, each, settings).location for each in written if not has_fields(each))]
    in_files = _on_servers(plugins, in_files, [*outputs, *filter(has_fields, written)])
    mirror = Mirror(in_files, kept_receipts(plugins, outputs))
    if not in_files and any(source.is_list for source in todo.pruned):
        todo.notes.append('nothing is pruned: a list needs its own receipts for that: use --receipt FILE in each run')
    elif not in_files and (keeping_none := {each.scheme for each in outputs
                                            if not plugins.find(WriterScheme, each.scheme).kept_receipts}):
        todo.notes.append(f'nothing is pruned at {min(keeping_none)}://, which keeps no receipts: use --receipt FILE '
                          'in each run')
    found = Prunable(plugins, todo, mirror)
    try:
        if found.unwanted() and (now := again()):
            found = Prunable(plugins, todo, mirror, now)
    except OccystrapError as error:
        yield from (PrunedImage(each, f'its source cannot be listed again: {error}') for each in found.going())
        return
    todo.notes += found.notes()
    if (shared := found.shared()) and not dry_run:
        note_bringers(plugins, settings, shared, withdrawn=True)
        if file:
            gone = {_image(each): each.brought_by for each in shared}
            file.withdraw({each.identity: gone[_image(each)] for each in mirror.same(shared)})
    reasons = settings.in_parallel(found.why_unlisted, found.going())
    yield from (PrunedImage(*each) for each in zip(found.going(), reasons, strict=True) if each[1])
    going = [each for each, reason in zip(found.going(), reasons, strict=True) if not reason]
    yield from prune(plugins, settings, going, mirror, dry_run, file.remove if file else lambda gone: None)


def _on_servers(plugins: Plugins, receipts: Sequence[Receipt], places: Sequence[Location]) -> Sequence[Receipt]:
    """Return the receipts for the servers that these places are on."""
    servers = {(each.scheme, server_of(plugins, each.scheme, each.given)) for each in places}
    return [each for each in receipts if (each.scheme, server_of(plugins, each.scheme, each.options)) in servers]


def note_bringers(plugins: Plugins, settings: Settings, receipts: Sequence[Receipt], withdrawn: bool = False) -> None:
    """Add bringers to the receipts that destinations keep, or with `withdrawn` remove them; raises OutputError."""
    for scheme in sorted({each.scheme for each in receipts}):
        if target := plugins.find(WriterScheme, scheme).notes_bringers:
            load(target)([each for each in receipts if each.scheme == scheme], settings, withdrawn)


class Prunable:
    """Images that sources with prune=true no longer have: those that only such sources brought."""

    def __init__(self, plugins: Plugins, todo: TaskList, mirror: Mirror, also: Collection[PlaceKey] = ()) -> None:
        """`also` are keys of places that belong to images which the sources have besides."""
        self._plugins = plugins
        self._present = {*place_keys(todo.tasks), *also}
        self._found: dict[Hashable, Receipt] = {}
        self._left: defaultdict[Hashable, set[Bringer]] = defaultdict(set)
        """The bringers that no longer have an image."""
        self._sources: defaultdict[Hashable, list[PrunedSource]] = defaultdict(list)
        self._kept, self._unknown, self._notes = set[Hashable](), set[Hashable](), list[str]()
        for source in todo.pruned:
            self._look(source, mirror.receipts(source))

    def going(self) -> list[Receipt]:
        """Return the receipts of images to remove."""
        return [each for each in self.unwanted() if not self._others(each)]

    def why_unlisted(self, receipt: Receipt) -> str:
        """Return why an image must stay although its source does not list it; empty if it is gone there, or not
        selected."""
        return next(filter(None, (why_unlisted(each, receipt) for each in self._sources[_image(receipt)])), '')

    def shared(self) -> list[Receipt]:
        """Return receipts of images that other sources brought as well; `brought_by` has the sources that no longer do.
        """
        return [replace(each, brought_by=tuple(sorted(self._left[_image(each)])))
                for each in self.unwanted() if self._others(each)]

    def notes(self) -> list[str]:
        """Return lines for the user about images that stay, and about patterns of keep= that match nothing."""
        shared = [each for each in self.unwanted() if self._others(each)]
        others = {other.in_list or other.source for each in shared for other in self._others(each)}
        return [*self._notes,
                *([f'{_stay(self._kept)} by keep='] if self._kept else []),
                *([f'{_stay(shared)} that other sources copied too: {first_names(sorted(others))}'] if shared else []),
                *([f'{_stay(self._unknown)} whose receipts, of an earlier version, do not name the source that they '
                   'were copied from'] if self._unknown else [])]

    def unwanted(self) -> list[Receipt]:
        """Return the receipts of images that a source no longer has."""
        return [each for image, each in self._found.items() if image not in self._kept]

    def _others(self, receipt: Receipt) -> set[Bringer]:
        return {*receipt.brought_by} - self._left[_image(receipt)]

    def _look(self, source: PrunedSource, receipts: Sequence[Receipt]) -> None:
        schemes = {each.scheme for each in source.destinations}
        matched = {text for each in source.references for text in source.keeping(str(each))}
        for receipt in (each for each in receipts if each.scheme in schemes):
            brought = [each for each in receipt.brought_by if source.name in (each.source, each.in_list)]
            here = any(_is_at(self._plugins, each, receipt, brought) for each in source.destinations)
            is_present = not self._present.isdisjoint(_keys(receipt))
            if not receipt.brought_by and not is_present and _may_go(source, receipt, here):
                self._unknown.add(_image(receipt))
            if not brought or not here:
                continue
            matched |= (keeping := source.keeping(*_names(receipt)))
            if keeping and not is_present:
                self._kept.add(_image(receipt))
            elif not is_present:
                self._found[_image(receipt)] = receipt
                self._left[_image(receipt)].update(brought)
                self._sources[_image(receipt)].append(source)
        self._notes += source.keeps_nothing(matched)


def prune(plugins: Plugins, settings: Settings, going: Sequence[Receipt], mirror: Mirror, dry_run: bool,
          removed: Callable[[Collection[Receipt]], None]) -> Iterator[PrunedImage]:
    """Remove images; the arguments and the result are as for `prune_sources`."""
    images = set(map(_image, going))
    staying = [each for each in [*mirror.kept, *mirror.in_files] if _image(each) not in images]
    groups: defaultdict[tuple[str, str], list[Receipt]] = defaultdict(list)
    for each in going:
        groups[each.scheme, split_tag(each.path.partition('@')[0])[0]].append(each)
    for (scheme, _), group in groups.items():
        settings.cancellation.check()
        remove = load(plugins.find(WriterScheme, scheme).removes)
        reasons = remove(group, staying, settings, dry_run)
        found = [PrunedImage(*each) for each in zip(group, reasons, strict=True)]
        removed(mirror.same([each.receipt for each in found if not each.reason]))
        yield from found


def _stay(images: Collection[object]) -> str:
    return f'{counted(len(images), "image")} {"are kept" if len(images) > 1 else "is kept"}'


def own_name(plugins: Plugins, receipt: Receipt) -> str:
    """Return the name, as a destination, of the place in a receipt, which may have been moved since it was written."""
    return destination_name(plugins, Location(receipt.scheme, receipt.path, {}, {}))


def _is_at(plugins: Plugins, written: Location, receipt: Receipt, brought: Sequence[Bringer]) -> bool:
    """Return whether a receipt is for an image at a destination of this run.

    The receipt's own path decides. The destination recorded for a bringer only tells with which fields or name that
    path was written, and cannot lead to another place.
    """
    own, name = own_name(plugins, receipt), destination_name(plugins, written)
    if own == name or name not in [each.destination for each in brought]:
        return own == name
    if has_fields(written):
        fixed = name.partition('{')[0].rpartition('/')[0].rstrip('/')
        return f'{own}/'.startswith(f'{fixed}/')
    return name.startswith((f'{own}:', f'{own}@', f'{own}/'))


def _may_go(source: PrunedSource, receipt: Receipt, here: bool) -> bool:
    """Return whether an image may come from a source although its receipt does not name its bringers."""
    return here or any(each.scheme == receipt.scheme and has_fields(each) for each in source.destinations)


def _names(receipt: Receipt) -> Sequence[str]:
    """Return the names of an image at its destination and at its source, as far as the receipt has them."""
    location, *words = receipt.source.split(' ')
    try:
        written = parse_uri(location)
    except UsageError:
        return [receipt.reference]
    image, tag = written.options.get('image'), written.options.get('tag')
    named = [each for each in words[:1] if not each.startswith('--')]
    return [receipt.reference, written.path, *named, *([f'{image}:{tag}' if tag else image] if image else [])]


def _image(receipt: Receipt) -> Hashable:
    """Return a key for an image: its place with its name there or, if it has no name, with its digest."""
    if receipt.place.endswith('#'):
        return receipt.scheme, receipt.place, receipt.manifest_digest or receipt.image_id
    return receipt.identity


def _keys(receipt: Receipt) -> list[PlaceKey]:
    """Return the keys for the place of an image: in the canonical form, and in that of receipts of earlier versions."""
    options = tuple(sorted(receipt.options.items()))
    digests = (receipt.manifest_digest, receipt.source_digest, receipt.image_id)
    placed = [key for digest in digests for key in _placed(receipt.scheme, receipt.place, digest)]
    return [*placed, (receipt.scheme, receipt.path, options, receipt.reference)]


def place_keys(tasks: Iterable[ImageTask]) -> set[PlaceKey]:
    """Return the keys of the places of images, which are equal to those of their receipts."""
    return {key for task in tasks for key in _keys_of_task(task)}


def _keys_of_task(task: ImageTask) -> list[PlaceKey]:
    location = task.output.location
    options = tuple(sorted(location.given.items()))
    return [*_placed(location.scheme, str(task.place), task.reference.digest),
            (location.scheme, location.path, options, str(task.reference))]


def _placed(scheme: str, place: str, digest: Digest | None) -> list[PlaceKey]:
    """Return the key of a place. Images without a name share a place and are distinguished by a digest."""
    if not place.endswith('#'):
        return [(scheme, place)] if place else []
    return [(scheme, place, digest)] if digest else []
