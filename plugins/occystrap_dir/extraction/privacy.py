"""Checks whether other users can reach unpacked files, with setuid programs, or change what this program wrote."""
import os
import stat
from collections.abc import Iterable, Iterator

from occystrap_core import CheckResults, Receipt
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.receipts import kept_receipt
from occystrap_dir.workspace.workspace import RECEIPTS

PRIVATE = 0o700
"""The mode of the directory that keeps other users out, unless the option `mode` sets another."""
NOT_OTHERS = ~stat.S_IWOTH
"""A mask for the modes of all files and directories that this program makes, whatever the umask."""


def check_privacy(receipt: Receipt, keeps_out: str, names: Iterable[str], results: CheckResults) -> None:
    """Report a directory that is open to more users than expected, and those of `names` that other users may change.

    These are names that all users may write to, or that belong to someone other than root, the caller, or the single
    user who owns all names. `keeps_out` is the directory that keeps other users out. An empty name stands for the
    destination itself. Raises OSError.
    """
    names = list(names)
    found = _mode(receipt.path, keeps_out)
    if found is not None and found & ~_requested(receipt) and found & ~_allowed(receipt):
        results.error(keeps_out or receipt.path, f'has mode {found:04o} and lets other users in, expected '
                      f'{_allowed(receipt):04o}: remove their permissions (chmod)')
    for name in names:
        mode = _mode(receipt.path, name)
        if mode is not None and mode & stat.S_IWOTH:
            results.error(name or receipt.path, f'has mode {mode:04o}, so that all users may change it: remove that '
                          'permission (chmod o-w)')
    for name, owner in _strangers(receipt.path, names):
        results.error(name or receipt.path, f'belongs to user {owner}, who may change it: give it to root, or to '
                      'whoever wrote the rest (chown)')


def take_over(root: str) -> list[str]:
    """Make an existing directory belong to root if root runs this; return a line for the user if it belonged to another
    user."""
    owner = os.stat(root).st_uid
    if os.geteuid() or not owner:
        return []
    os.chown(root, 0, -1)
    return [f'{root} belongs to root now, since user {owner} could have replaced what is unpacked there']


def _strangers(root: str, names: Iterable[str]) -> list[tuple[str, int]]:
    """Return names that belong neither to root nor to the caller, with their owners, unless one user owns all names."""
    owners = [(name, found.st_uid) for name in names if (found := _status(root, name))]
    if len({owner for _, owner in owners}) == 1:
        return []  # another user wrote it
    return [(name, owner) for name, owner in owners if owner not in (0, os.geteuid())]


def _mode(root: str, name: str) -> int | None:
    """Return the permissions of a file or directory, None for a link or if it does not exist."""
    found = _status(root, name)
    return stat.S_IMODE(found.st_mode) if found else None


def _status(root: str, name: str) -> os.stat_result | None:
    found = Beneath(root).status(name) if name else os.stat(root)
    return None if found is None or stat.S_ISLNK(found.st_mode) else found


def _requested(receipt: Receipt) -> int:
    return int(receipt.options.get('mode') or f'{PRIVATE:o}', 8)


def _allowed(receipt: Receipt) -> int:
    """Return the permissions that the options of all images in the directory permit together: each run sets its own."""
    mode = _requested(receipt)
    for each in _others(receipt.path):
        mode |= _requested(each)
    return mode


def _others(root: str) -> Iterator[Receipt]:
    for name in os.listdir(f'{root}/{RECEIPTS}'):
        if kept := kept_receipt(root, name):
            yield kept
