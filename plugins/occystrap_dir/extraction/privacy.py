"""Whether other users can get at what was unpacked, with its setuid programs, or change what this program wrote."""
import os
import stat
from collections.abc import Iterable, Iterator

from occystrap_core import CheckResults, Receipt
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.receipts import kept_receipt
from occystrap_dir.workspace.workspace import RECEIPTS

PRIVATE = 0o700
"""The mode of what keeps others out, unless the option `mode` asks for another."""
NOT_OTHERS = ~stat.S_IWOTH
"""What files and directories of ours may have, whatever the umask."""


def check_privacy(receipt: Receipt, keeps_out: str, names: Iterable[str], results: CheckResults) -> None:
    """Note a directory that lets in more users than it was to, and what of ours all users may write to.

    `keeps_out` is the directory that does, empty for the destination itself, as `names` may be. Raises OSError.
    """
    found = _mode(receipt.path, keeps_out)
    if found is not None and found & ~_told(receipt) and found & ~_most(receipt):
        results.error(keeps_out or receipt.path, f'has mode {found:04o} and lets other users in, expected '
                      f'{_most(receipt):04o}: take their rights away (chmod)')
    for name in names:
        mode = _mode(receipt.path, name)
        if mode is not None and mode & stat.S_IWOTH:
            results.error(name or receipt.path, f'has mode {mode:04o}, so that all users may change it: take that away '
                          '(chmod o-w)')


def _mode(root: str, name: str) -> int | None:
    """Return the permissions of a file or directory, None for a link or where nothing is."""
    found = Beneath(root).status(name) if name else os.stat(root)
    return None if found is None or stat.S_ISLNK(found.st_mode) else stat.S_IMODE(found.st_mode)


def _told(receipt: Receipt) -> int:
    return int(receipt.options.get('mode') or f'{PRIVATE:o}', 8)


def _most(receipt: Receipt) -> int:
    """Return what the images that are there ask for together: each run gives the directory the mode of its own."""
    mode = _told(receipt)
    for each in _others(receipt.path):
        mode |= _told(each)
    return mode


def _others(root: str) -> Iterator[Receipt]:
    for name in os.listdir(f'{root}/{RECEIPTS}'):
        if kept := kept_receipt(root, name):
            yield kept
