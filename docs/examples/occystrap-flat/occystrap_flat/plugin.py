"""The declarations of this plugin; imported at every start of occystrap, so it imports nothing heavy."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import WriterScheme, hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """Return flat:// as a destination."""
    return [WriterScheme('flat', 'occystrap_flat.writer:FlatOutput',
                         help='config and layers of one image as files in a directory', completion='files')]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Report what is at the destination; None for receipts of other schemes."""
    if receipt.scheme != 'flat':
        return None
    from occystrap_flat.verifier import verify
    return verify(receipt, level, settings)
