"""What a run that was broken off left in its receipt file: images that need not be copied again if they prove whole."""
from collections.abc import Iterable

from occystrap_core.uri import Location
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome


class EarlierRun:
    """Receipts by source and destination; of several the last counts, and only if it says verified."""

    def __init__(self, receipts: Iterable[Receipt] = ()) -> None:
        self._receipts = {(each.source, each.scheme, each.path, tuple(sorted(each.options.items()))): each
                          for each in receipts}

    def __bool__(self) -> bool:
        return bool(self._receipts)

    def find(self, source: str, destination: Location) -> Receipt | None:
        """Return the receipt of the image of `source` (a URI, and what was asked of it) at `destination`, or None.

        The source is not asked again: a tag that has moved since then is for the next run.
        """
        receipt = self._receipts.get((source, destination.scheme, destination.path,
                                      tuple(sorted(destination.given.items()))))
        proved = receipt and receipt.verdict and receipt.verdict.outcome == Outcome.VERIFIED.value
        return receipt if proved else None
