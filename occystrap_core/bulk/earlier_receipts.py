"""The receipts of --resume, found by an order's destination."""
from collections.abc import Hashable, Mapping

from occystrap_core.api.uri import Location
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_output
from occystrap_core.receipts.receipt_index import ReceiptIndex
from occystrap_core.settings import Settings
from occystrap_core.verification.receipt import Receipt


class EarlierReceipts(ReceiptIndex):
    """Finds receipts by destination only; the worker that gets one checks whether it is for the same source."""

    def __init__(self, path: str = '') -> None:
        """Read the file at `path`; none if it is empty. Raises as ReceiptIndex does."""
        super().__init__(path, _key_of)

    def at(self, plugins: Plugins, destination: Location, settings: Settings) -> str:
        """Return the receipt of the image at a destination, as a line; empty without one. Raises UsageError."""
        location = open_output(plugins, destination, settings).location
        return self.line(_key(location.scheme, location.path, location.given)).decode()


def _key_of(receipt: Receipt) -> Hashable:
    return _key(receipt.scheme, receipt.path, receipt.options)


def _key(scheme: str, path: str, options: Mapping[str, str]) -> Hashable:
    return scheme, path, tuple(sorted(options.items()))
