"""Images that earlier runs proved, by receipts of a file or of the destination, so that a run need not copy them."""
from collections.abc import Collection, Hashable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from occystrap_core.api.uri import Location
from occystrap_core.errors import ImageNotFound, InvalidImage
from occystrap_core.oci.digest import Digest
from occystrap_core.plugins.manager import Plugins
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.receipts.kept_receipts import KEPT, is_proved
from occystrap_core.settings import VerifyLevel
from occystrap_core.tasks.image_task import WHOLE, ImageTask
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome

if TYPE_CHECKING:
    from occystrap_core.receipts.receipt_index import ReceiptIndex


class EarlierRun:
    """Receipts by source and destination; of several for the same the last counts, and only if it is verified."""

    def __init__(self, receipts: Iterable[Receipt] = (), index: 'ReceiptIndex | None' = None) -> None:
        """Receipts of `index`, which is searched by `receipt_key`, are read when they are needed."""
        self._receipts = {receipt_key(each): each for each in receipts}
        self._index = index

    def __bool__(self) -> bool:
        return bool(self._receipts or self._index)

    def find(self, source: str, destination: Location) -> Receipt | None:
        """Return the receipt for the image of `source` (a URI, with what was requested of it) at `destination`, or
        None.

        Earlier versions copied one platform by default. Their receipts count as a copy of the whole only if what the
        name meant was copied unchanged. The source is not asked here.
        """
        rest = destination.scheme, destination.path, tuple(sorted(destination.given.items()))
        receipt = self._get((source, *rest))
        if receipt is None and source.endswith(WHOLE):
            old = self._get((source.removesuffix(WHOLE), *rest))
            receipt = old if old and (old.is_index or old.manifest_digest == old.source_digest) else None
        return receipt if receipt and is_proved(receipt) else None

    def _get(self, key: Hashable) -> Receipt | None:
        if found := self._receipts.get(key):
            return found
        line = self._index.line(key) if self._index else b''
        receipt = Receipt.from_json(line) if line else None
        return receipt if receipt and receipt_key(receipt) == key else None

    def close(self) -> None:
        """Close the file of the index."""
        if self._index:
            self._index.close()


def receipt_key(receipt: Receipt) -> Hashable:
    """Return the key by which a receipt is found: source and destination."""
    return receipt.source, receipt.scheme, receipt.path, tuple(sorted(receipt.options.items()))


def has_referrers(task: ImageTask) -> bool:
    """Return whether an image is copied with its referrers, which may change while its digest stays."""
    return bool(task.images.location.options.get('referrers'))


def lacks(receipt: Receipt, base: Collection[Digest]) -> str:
    """Return in words what a delta at the receipt's place leaves out and `base` does not have; empty if nothing."""
    missing = [each for each in receipt.left_out if each.digest not in base]
    return f'the delta there leaves out {missing[0].kind} {missing[0].digest}' if missing else ''


def differs(receipt: Receipt, present: Digest | None) -> str:
    """Return in words what the source has now if it is not what the receipt was written for; referrers are not
    considered."""
    is_same = present in (receipt.source_digest or receipt.image_id, receipt.image_id)
    return '' if is_same else f'the digest at the source is now {present or "unknown"}'


class FoundBefore:
    """Finds out whether an image is already at its destination, and is still what the source has.

    With `refresh` the source is asked, at most once; otherwise a proof counts whatever the source has now.
    """

    def __init__(self, plugins: Plugins, task: ImageTask, earlier: EarlierRun, refresh: bool, level: VerifyLevel,
                 ) -> None:
        self.plugins, self.task, self.earlier, self.refresh, self.level = plugins, task, earlier, refresh, level
        self._asked: list[Digest | None] | None = None

    def find(self) -> tuple[Receipt, Verdict] | None:
        """Return a receipt that proves the image, and its verdict, which is verified; raises as opening the image does.

        A receipt of the file comes first, then the one that the destination keeps, then what it has under the name now.
        """
        task = self.task
        receipt = self.earlier.find(task.recorded, task.output.location)
        if receipt is None or not self._is_current(receipt):
            receipt = self._of_destination()
        if receipt is None:
            return None
        level = VerifyLevel.FAST if self.level is VerifyLevel.NONE else self.level
        verdict = verify_receipt(self.plugins, receipt, level, task.settings.settled())
        return (receipt, verdict) if verdict.outcome is Outcome.VERIFIED else None

    def _of_destination(self) -> Receipt | None:
        """Return the receipt that the destination provides for the image; None if a filter must see the image again."""
        if self.task.recipe is None or has_referrers(self.task):
            return None
        output, reference = self.task.output.made(), self.task.reference
        if kept := output.kept_receipt(reference):
            if self.level is VerifyLevel.FULL and kept.of_kind('files'):
                return None  # digests do not cover the list of files: only unpacking again proves it
            here = replace(kept, verdict=KEPT, place=str(self.task.place))
            found = EarlierRun([here]).find(self.task.recorded, output.location)
            return found if found and self._is_current(found) else None
        if not self.refresh:
            return None
        there = self.task.digest_there()  # asked first: if nothing is there, the source need not be asked
        if there is None or there != self._present_digest:
            return None
        try:
            return output.present_receipt(reference, self.task.recorded)
        except (ImageNotFound, InvalidImage):  # missing or damaged at the destination: copying repairs it
            return None

    def _is_current(self, receipt: Receipt) -> bool:
        """Return whether the image of a receipt is the one that the source has now; raises as opening it does.

        False if only reading the image would tell, for an image with referrers, since there may be new ones, and for
        one in a delta that leaves out what is needed now.
        """
        if lacks(receipt, self.task.settings.base or ()):
            return False
        if not self.refresh:
            return True
        return not has_referrers(self.task) and not differs(receipt, self._present_digest)

    @property
    def _present_digest(self) -> Digest | None:
        if self._asked is None:  # no cached_property: its lock in Python 3.11 would make all wait
            self._asked = [self.task.images.present_digest(self.task.reference)]
        return self._asked[0]
