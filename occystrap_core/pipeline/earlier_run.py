"""What an earlier run proved: the receipts by which `--resume` leaves out images."""
from collections.abc import Iterable

from occystrap_core.api.uri import Location
from occystrap_core.pipeline.destination_check import verify_receipt
from occystrap_core.pipeline.tasks import WHOLE, ImageTask
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import VerifyLevel
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome


class EarlierRun:
    """Receipts by source and destination; of several the last counts, and only if it is verified."""

    def __init__(self, receipts: Iterable[Receipt] = ()) -> None:
        self._receipts = {(each.source, each.scheme, each.path, tuple(sorted(each.options.items()))): each
                          for each in receipts}

    def __bool__(self) -> bool:
        return bool(self._receipts)

    def find(self, source: str, destination: Location) -> Receipt | None:
        """Return the receipt of the image of `source` (a URI with what was requested of it) at `destination`, or None.

        Receipts of earlier versions, which took one platform where nothing was said, stand for the whole of what a name
        meant only if that was copied as it was. The source is not asked here.
        """
        rest = destination.scheme, destination.path, tuple(sorted(destination.given.items()))
        receipt = self._receipts.get((source, *rest))
        if receipt is None and source.endswith(WHOLE):
            old = self._receipts.get((source.removesuffix(WHOLE), *rest))
            receipt = old if old and (old.is_index or old.manifest_digest == old.source_digest) else None
        return receipt if receipt and self.proves(receipt) else None

    def proves(self, receipt: Receipt) -> bool:
        """Return whether a receipt says that its image was verified."""
        return receipt.verdict is not None and receipt.verdict.outcome == Outcome.VERIFIED.value


def found_before(plugins: Plugins, task: ImageTask, earlier: EarlierRun, refresh: bool, level: VerifyLevel,
                 ) -> tuple[Receipt, Verdict] | None:
    """Return the receipt of an earlier run that still holds, and its verdict; raises as opening the image does."""
    receipt = earlier.find(task.recorded, task.output.location)
    if receipt is None or (refresh and not _is_current(task, receipt)):
        return None
    level = VerifyLevel.FAST if level is VerifyLevel.NONE else level
    verdict = verify_receipt(plugins, receipt, level, task.settings.settled())
    return (receipt, verdict) if verdict.outcome is Outcome.VERIFIED else None


def _is_current(task: ImageTask, receipt: Receipt) -> bool:
    """Return whether the image of a receipt is the one that the source has now; raises as opening it does.

    An image that only reading can tell is not, and neither is one with referrers, which may have become more.
    """
    if task.images.location.options.get('referrers'):
        return False
    return task.images.present_digest(task.reference) in (receipt.source_digest or receipt.image_id, receipt.image_id)
