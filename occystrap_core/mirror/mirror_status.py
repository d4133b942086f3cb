"""Comparing a mirror with its source: what is current, stale, missing or extra. Nothing is moved."""
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.daemon_threads import DaemonThreads, completed
from occystrap_core.errors import Cancelled, ImageNotFound, InvalidImage
from occystrap_core.mirror.source_check import compare
from occystrap_core.mirror.source_receipt import Counterpart
from occystrap_core.oci.digest import Digest
from occystrap_core.plugins.manager import Plugins
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.receipts.kept_receipts import is_proved, kept_receipts
from occystrap_core.report.image_report import failure_text
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.sources.selection import print_notes
from occystrap_core.tasks.earlier_run import EarlierRun, differs, has_referrers, lacks
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.source_orders import Destinations
from occystrap_core.tasks.task_list import TaskList
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome, problems


class State(Enum):
    """The state of one image of a mirror."""

    CURRENT = 'current'
    STALE = 'stale'
    MISSING = 'missing'
    EXTRA = 'extra'
    UNREACHABLE = 'unreachable'


class MirroredImage(NamedTuple):
    """One image, its state, and the digests that its name has at the source and had when it was copied."""

    reference: str
    source: str
    destination: str
    state: State
    source_digest: Digest | None = None
    copied_digest: Digest | None = None
    reason: str = ''

    def to_json(self) -> dict[str, Any]:
        """Return the image for programs."""
        return {**self._asdict(), 'state': self.state.value}


def mirror_status(plugins: Plugins, settings: Settings, source: str, destination: Destinations, filters: Sequence[str],
                  receipts: Collection[Receipt]) -> list[MirroredImage]:
    """Return the state of every image that `source` names, and of images that it no longer names.

    `receipts` are those of a file or, if there are none, those that the destination keeps. A registry is asked what it
    has under each name. An image without a proof is missing. Raises UsageError for an impossible request.
    """
    with closing(settings.shared), TaskList(plugins, settings) as todo:
        todo.expand(source, destination, filters)
        print_notes(todo.notes)
        known = receipts or kept_receipts(plugins, [task.output.location for task in todo.tasks])
        earlier = EarlierRun(known)
        others = {_place_now(each): each for each in known if is_proved(each)}
        with closing(DaemonThreads(max(1, min(settings.images, len(todo.tasks))), 'status')) as threads:
            futures = [threads.submit(partial(_state, plugins, task, earlier, others)) for task in todo.tasks]
            found = {number: future.result() for number, future in enumerate(futures)
                     for future in completed([future], settings.cancellation.check)}
        failed = [MirroredImage(each.reference, each.reference, each.destination, State.UNREACHABLE,
                                reason=each.failure) for each in todo.failed]
        return [*found.values(), *failed, *(_extra(known, todo.tasks, earlier) if not failed else ())]


def _state(plugins: Plugins, task: ImageTask, earlier: EarlierRun, others: Mapping[str, Receipt]) -> MirroredImage:
    """Return the state of one image: unreachable after an error, unless the source says that it has no such image.

    `others` has for each place the receipt of what was copied there, from whatever source.
    """
    image = MirroredImage(str(task.reference), task.source, str(task.destination), State.MISSING)
    receipt = earlier.find(task.recorded, task.output.location)
    try:
        try:
            image = image._replace(source_digest=task.images.present_digest(task.reference))
        except ImageNotFound as error:
            is_there = receipt or task.digest_there()
            return image._replace(state=State.EXTRA if is_there else State.MISSING, reason=str(error))
        if receipt is None:
            other = others.get(str(task.place))
            if other and task.is_as_named and other.source_digest == other.manifest_digest:
                return _compared(plugins, task, other, image)  # copied unchanged: its digest identifies it
            return _present(plugins, task, image, other.source if other else '')
        return _compared(plugins, task, receipt, image)
    except (Exception, Cancelled) as error:
        task.settings.cancellation.check()
        return image._replace(state=State.UNREACHABLE, reason=failure_text(error, plugins))


def _compared(plugins: Plugins, task: ImageTask, receipt: Receipt, image: MirroredImage) -> MirroredImage:
    """Return the image after comparing its receipt with the source, and with the destination if it is current."""
    image = image._replace(copied_digest=receipt.source_digest or receipt.image_id, destination=receipt.destination)
    if another := differs(receipt, image.source_digest):
        return image._replace(state=State.STALE, reason=another)
    if lack := lacks(receipt, ()):
        return image._replace(state=State.MISSING, reason=lack)
    proved = _proved(plugins, task, receipt, image)
    return _with_referrers(plugins, task, proved) if has_referrers(task) and proved.state is State.CURRENT else proved


def _with_referrers(plugins: Plugins, task: ImageTask, image: MirroredImage) -> MirroredImage:
    """Return a current image after comparing its referrers with the source, since its digest does not cover them."""
    pair = Counterpart(task.images, task.reference, task.settings.settled(), task.output.location)
    verdict = compare(plugins, pair, VerifyLevel.FAST).verdict
    if verdict.outcome is Outcome.VERIFIED:
        return image
    found = '; '.join(map(str, problems(verdict.findings)[:2]))
    if verdict.outcome is Outcome.FAILED:
        return image._replace(state=State.STALE, reason=f'the source now has referrers that are missing there: {found}')
    return image._replace(state=State.UNREACHABLE, reason=found)


def _present(plugins: Plugins, task: ImageTask, image: MirroredImage, other: str) -> MirroredImage:
    """Return the image after comparing the source with what a destination without receipts has now.

    `other` is what a receipt says was copied there instead, such as with another choice of platforms.
    """
    there = task.digest_there()
    if there is None and other:
        return image._replace(reason=f'what is there was copied from {other}: give status the same source and options')
    if there is None:
        keeps = plugins.find(WriterScheme, task.output.location.scheme).kept_receipts
        how = '' if keeps else ': use --receipt FILE, or compare with verify DEST --against SOURCE'
        return image._replace(reason=f'no receipt proves that it was copied{how}')
    if there != image.source_digest:
        return image._replace(state=State.STALE, copied_digest=there,
                              reason=f'the digest at the source is now {image.source_digest or "unknown"}')
    try:
        receipt = task.output.made().present_receipt(task.reference, task.recorded)
    except (ImageNotFound, InvalidImage) as error:
        return image._replace(copied_digest=there, reason=str(error))
    return _compared(plugins, task, receipt, image)


def _proved(plugins: Plugins, task: ImageTask, receipt: Receipt, image: MirroredImage) -> MirroredImage:
    """Return the image with the result of fast verification of the destination."""
    verdict = verify_receipt(plugins, receipt, VerifyLevel.FAST, task.settings.settled())
    if verdict.outcome is Outcome.VERIFIED:
        return image._replace(state=State.CURRENT)
    state = State.MISSING if verdict.outcome is Outcome.FAILED else State.UNREACHABLE
    return image._replace(state=state, reason='; '.join(map(str, problems(verdict.findings)[:2])))


def _extra(receipts: Iterable[Receipt], tasks: Sequence[ImageTask], earlier: EarlierRun) -> Iterable[MirroredImage]:
    """Yield the images that are proved to be at the destination, and that the source does not name any more.

    An image in a place for which the source names an image is not extra, whatever it was copied from.
    """
    named = {id(earlier.find(task.recorded, task.output.location)) for task in tasks}
    taken = {str(task.place) for task in tasks}
    places = {(task.output.location.scheme, _root(task.output.location.path)) for task in tasks}
    for receipt in receipts:
        is_ours = (receipt.scheme, _root(receipt.path)) in places and is_proved(receipt)
        if is_ours and id(receipt) not in named and _place_now(receipt) not in taken:
            yield MirroredImage(receipt.reference, receipt.source, receipt.destination, State.EXTRA,
                                copied_digest=receipt.source_digest, reason='the source no longer lists it')


def _place_now(receipt: Receipt) -> str:
    """Return the place of an image; its destination, such as a layout on a stick, may have been copied or moved since
    the receipt was written."""
    _, mark, name = receipt.place.rpartition('#')
    return f'{os.path.realpath(receipt.path)}#{name}' if mark and os.path.isabs(receipt.path) else receipt.place


def _root(path: str) -> str:
    """Return what the images at one destination have in common: a path in the file system, or the host of a service."""
    return path if path.startswith('/') else path.partition('/')[0]
