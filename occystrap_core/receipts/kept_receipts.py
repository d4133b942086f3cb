"""Receipts that destinations keep themselves, and whether a receipt proves its image."""
from collections.abc import Iterable, Mapping

from occystrap_core.api.schemes import WriterScheme, load
from occystrap_core.api.uri import Location, WrittenUri
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import VerifyLevel
from occystrap_core.verification.provenance import RecordedVerdict
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome

KEPT = RecordedVerdict(Outcome.VERIFIED.value, VerifyLevel.NONE.value, '')
"""The verdict of a receipt that a destination keeps: it was written before verification, so it must be verified before
it is used."""


def is_proved(receipt: Receipt) -> bool:
    """Return whether a receipt says that its image was verified."""
    return receipt.verdict is not None and receipt.verdict.outcome == Outcome.VERIFIED.value


def kept_receipts(plugins: Plugins, destinations: Iterable[Location]) -> list[Receipt]:
    """Return the receipts that destinations keep themselves; raises UsageError, OutputError."""
    receipts: list[Receipt] = []
    for scheme, path, options in sorted({(each.scheme, each.path, server_of(plugins, each.scheme, each.given))
                                         for each in destinations}):
        if kept := plugins.find(WriterScheme, scheme).kept_receipts:
            receipts += (receipt.with_verdict(receipt.verdict or KEPT)
                         for receipt in load(kept)(WrittenUri(scheme, path, dict(options))).receipts)
    return receipts


def server_of(plugins: Plugins, scheme: str, given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return those options of a destination or a receipt that say which server it is on."""
    return tuple((name, given[name]) for name in plugins.find(WriterScheme, scheme).servers if name in given)
