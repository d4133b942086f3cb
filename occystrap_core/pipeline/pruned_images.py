"""Removing images at a destination that their source no longer has: those that receipts of earlier runs prove."""
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from occystrap_core.api.schemes import WriterScheme, load
from occystrap_core.api.uri import Location, WrittenUri, parse_uri
from occystrap_core.errors import UsageError
from occystrap_core.oci.named_images import matches_name
from occystrap_core.oci.patterns import compile_pattern, has_glob, split_pattern
from occystrap_core.oci.reference import Reference, split_tag
from occystrap_core.pipeline.mirror_status import kept_receipts
from occystrap_core.pipeline.report import PrunedImage
from occystrap_core.pipeline.destination_fields import filled_in, has_fields
from occystrap_core.pipeline.image_task import ImageTask
from occystrap_core.pipeline.tasks import PrunedSource, TaskList
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_output
from occystrap_core.settings import Settings
from occystrap_core.verification.receipt import Receipt


class Mirror(NamedTuple):
    """What is known of the destinations of a run: receipts of the run's own files, and those that destinations keep."""

    in_files: Sequence[Receipt]
    kept: Sequence[Receipt] = ()

    def receipts(self, source: PrunedSource) -> Sequence[Receipt]:
        """Return the receipts that may be of a source, each image once.

        Those that a destination keeps may come from anywhere, so that they do not count for a list, which may be one of
        several lists for one destination.
        """
        found = self.in_files if source.is_list else [*self.kept, *self.in_files]
        return list({each.identity: each for each in found}.values())


def prune_sources(plugins: Plugins, settings: Settings, todo: TaskList, in_files: Sequence[Receipt], dry_run: bool,
                  removed: Callable[[Collection[Receipt]], None] = lambda gone: None) -> Iterator[PrunedImage]:
    """Remove what sources with prune=true no longer have, and call `removed` with receipts of what is gone.

    `in_files` are the receipts of the run's files. Yields what became of each image, or in a dry run would; what keeps
    images is added to the notes of `todo`. Raises UsageError, OutputError.
    """
    written = [each for source in todo.pruned for each in source.destinations if not has_fields(each)]
    outputs = [*(task.output.location for task in todo.tasks),
               *(open_output(plugins, each, settings).location for each in written)]
    mirror = Mirror(in_files, kept_receipts(plugins, outputs))
    if not in_files and any(source.is_list for source in todo.pruned):
        todo.notes.append('nothing is pruned of a list without its own receipts: give --receipt FILE in each run')
    going, kept = prunable(plugins, settings, todo, mirror)
    if kept:
        todo.notes.append(f'{kept} {"images stay" if kept > 1 else "image stays"} by keep=')
    yield from prune(plugins, settings, going, mirror, dry_run, removed)


def prunable(plugins: Plugins, settings: Settings, todo: TaskList, mirror: Mirror) -> tuple[list[Receipt], int]:
    """Return the receipts of images that sources with prune=true no longer name, and how many keep= keeps."""
    present = {key for task in todo.tasks for key in _keys_of_task(task)}
    found: dict[Any, Receipt] = {}
    kept = set()
    for source in todo.pruned:
        for receipt in mirror.receipts(source):
            if not present.isdisjoint(_keys(receipt)):
                continue
            reference = _covered(plugins, settings, source, receipt)
            if reference and reference in source.keep:
                kept.add(receipt.identity)
            elif reference:
                found[receipt.identity] = receipt
    return [each for identity, each in found.items() if identity not in kept], len(kept)


def prune(plugins: Plugins, settings: Settings, going: Sequence[Receipt], mirror: Mirror, dry_run: bool,
          removed: Callable[[Collection[Receipt]], None]) -> Iterator[PrunedImage]:
    """Remove images; arguments and results are those of `prune_sources`."""
    identities = {each.identity for each in going}
    staying = [each for each in [*mirror.kept, *mirror.in_files] if each.identity not in identities]
    groups: defaultdict[tuple[str, str], list[Receipt]] = defaultdict(list)
    for each in going:
        groups[each.scheme, split_tag(each.path.partition('@')[0])[0]].append(each)
    for (scheme, _), group in groups.items():
        settings.cancellation.check()
        remove = load(plugins.find(WriterScheme, scheme).removes)
        reasons = remove(group, staying, settings, dry_run)
        found = [PrunedImage(*each) for each in zip(group, reasons, strict=True)]
        removed([each.receipt for each in found if not each.reason])
        yield from found


def _keys(receipt: Receipt) -> list[tuple[object, ...]]:
    """Return what tells the place of an image, in either form."""
    options = tuple(sorted(receipt.options.items()))
    placed = [(receipt.scheme, receipt.place)] if receipt.place else []
    return [*placed, (receipt.scheme, receipt.path, options, receipt.reference)]


def _keys_of_task(task: ImageTask) -> list[tuple[object, ...]]:
    location = task.output.location
    options = tuple(sorted(location.given.items()))
    return [(location.scheme, str(task.place)), (location.scheme, location.path, options, str(task.reference))]


def _covered(plugins: Plugins, settings: Settings, source: PrunedSource, receipt: Receipt) -> Reference | None:
    """Return the name at the source of an image that came from there to one of its destinations; else None."""
    words = receipt.source.split(' ')
    try:
        written = parse_uri(words[0])
    except UsageError:
        return None
    reference = _name_at_source(written, words[1:2], source.hosts)
    if reference is None or not (source.is_list or _may_name(source, written, reference)):
        return None
    went = (_goes(plugins, settings, destination, reference, receipt) for destination in source.destinations)
    return reference if any(went) else None


def _name_at_source(written: WrittenUri, word: Sequence[str], hosts: Collection[str]) -> Reference | None:
    """Return the name of an image in the source of a receipt; None if it does not say."""
    image, tag = written.options.get('image'), written.options.get('tag')
    text = next((each for each in word if not each.startswith('--')), '') or (f'{image}:{tag}' if tag else image)
    text = text or written.path
    try:
        return Reference.parse(text, with_host=text.partition('/')[0] in hosts)
    except UsageError:
        return None


def _may_name(source: PrunedSource, written: WrittenUri, reference: Reference) -> bool:
    """Return whether a source lists such images, if it has them and they are selected."""
    lists = source.lists
    if lists.scheme != written.scheme:
        return False
    if pattern := split_pattern(lists.path):
        repository, _, tag = split_tag(written.path)
        return bool(compile_pattern(pattern[0]).fullmatch(repository)
                    and compile_pattern(pattern[1] or 'latest').fullmatch(tag))
    image = lists.options.get('image')
    return lists.path == written.path and (image is None or (
        has_glob(image) and matches_name(image, written.options.get('image', ''), reference)))


def _goes(plugins: Plugins, settings: Settings, destination: Location, reference: Reference, receipt: Receipt) -> bool:
    """Return whether an image of this name goes to the place of a receipt."""
    try:
        output = open_output(plugins, filled_in(destination, reference), settings)
    except UsageError:  # such as for a field that this name does not have
        return False
    location = output.location
    options = tuple(sorted(location.given.items()))
    places = {(location.scheme, str(output.place(reference))),
              (location.scheme, location.path, options, str(reference))}
    return not places.isdisjoint(_keys(receipt))
