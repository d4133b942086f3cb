"""The receipts in a directory: records of the runs that wrote its images and layers."""
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from occystrap_core import Evidence, OccystrapError, Receipt
from occystrap_core.files import output_errors
from occystrap_core.oci import Digest
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.workspace import RECEIPTS, Workspace

T = TypeVar('T')

_CAP = 64 << 20


def kept_receipt(root: str, manifest: str) -> Receipt | None:
    """Return the receipt of the image whose manifest has this name; None if there is no readable one."""
    try:
        return Receipt.from_json(Beneath(root).read(f'{RECEIPTS}/{manifest}', _CAP))
    except (OSError, OccystrapError):
        return None


def receipt_here(root: str, manifest: str) -> Receipt | None:
    """Return the same for a destination that may have been moved since."""
    receipt = kept_receipt(root, manifest)
    return receipt.at(root) if receipt else None


def kept_receipts(root: str) -> list[Receipt]:
    """Return all readable receipts that a directory keeps; raises OSError."""
    try:
        names = Beneath(root).names(RECEIPTS)
    except FileNotFoundError:
        return []
    found = (kept_receipt(root, name) for name in names if name.endswith('.json'))
    return [each for each in found if each]


def note_bringers(workspace: Workspace, receipts: Mapping[str, Receipt], withdrawn: bool, sweep: Callable[[], None],
                  ) -> None:
    """Add the bringers of these receipts to the kept receipts of the same images, by file name, or remove them.

    `sweep` is as for Workspace.leave. Raises OutputError.
    """
    workspace.enter()
    try:
        with output_errors(workspace.root), workspace.locked():
            changed = {f'{RECEIPTS}/{name}': _with_bringers(workspace.root, name, each, withdrawn)
                       for name, each in receipts.items()}
            partial = {workspace.write(f'{each.to_json()}\n'.encode()): name for name, each in changed.items() if each}
            workspace.move_all(partial)
    except BaseException:
        workspace.give_up(sweep)
        raise
    workspace.leave(True, sweep)


def _with_bringers(root: str, name: str, receipt: Receipt, withdrawn: bool) -> Receipt | None:
    """Return the kept receipt after the change; None if there is none, or it is for another image."""
    kept = kept_receipt(root, name)
    if not kept or (kept.manifest_digest, kept.image_id) != (receipt.manifest_digest, receipt.image_id):
        return None
    if not withdrawn:
        return kept.brought_also_by(receipt.brought_by)
    return replace(kept, brought_by=tuple(each for each in kept.brought_by if each not in receipt.brought_by))


def with_known_evidence(receipt: Receipt, earlier: Receipt | None) -> Receipt:
    """Return a receipt with the stronger evidence of an earlier run, which streamed what a rerun skips, and with all
    bringers of the image."""
    seen = {each for each in (earlier.expectations if earlier else ()) if each.evidence is Evidence.STREAMED}
    upgraded = (each._replace(evidence=Evidence.STREAMED) if each.evidence is Evidence.DESCRIPTOR else each
                for each in receipt.expectations)
    known = receipt.brought_also_by(earlier.brought_by) if earlier else receipt
    return replace(known, expectations=tuple(
        better if better in seen else each for each, better in zip(receipt.expectations, upgraded, strict=True)))


class RecordedSizes:
    """The sizes of the layers in one destination, by its receipts and by what this run wrote; for several threads."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._sizes: dict[Digest, int] = {}
        self._changed: int | None = None
        self._lock = threading.Lock()

    def add(self, diff_id: Digest, size: int) -> None:
        """Record a layer that was written completely, of `size` bytes."""
        with self._lock:
            self._sizes[diff_id] = size

    def find(self, diff_id: Digest) -> int | None:
        """Return the size in bytes of a layer; the receipts are read again only if there are others by now."""
        with self._lock:
            if diff_id not in self._sizes and (changed := self._time_of_receipts()) != self._changed:
                for each in _from_receipts(self._root, _layer_sizes):
                    self._sizes.update((key, size) for key, size in each.items() if key not in self._sizes)
                self._changed = changed
            return self._sizes.get(diff_id)

    def _time_of_receipts(self) -> int | None:
        """Return when receipts were added or removed last, in ns; None if there are none."""
        with suppress(OSError):
            if status := Beneath(self._root).status(RECEIPTS):
                return status.st_mtime_ns
        return None


def recorded_lists(root: str) -> set[tuple[str, Digest]]:
    """Return every list of files in the kept receipts: its name, and its digest."""
    return {listing for each in _from_receipts(root, _lists) for listing in each}


def _from_receipts(root: str, extract: Callable[[str, str, int], T]) -> list[T]:
    """Return what `extract` returns for root, name and inode of each kept receipt; nothing if there are none."""
    with suppress(OSError), Beneath(root).directory(RECEIPTS) as directory:
        with os.scandir(directory) as entries:
            return [extract(root, entry.name, entry.inode()) for entry in entries]
    return []


@lru_cache(maxsize=4096)
def _layer_sizes(root: str, name: str, inode: int) -> dict[Digest, int]:
    """Return the sizes of one receipt's layers; cached by inode, since many images go into one directory."""
    receipt = kept_receipt(root, name)
    return {layer.digest: layer.size for layer in receipt.of_kind('layer')} if receipt else {}


@lru_cache(maxsize=4096)
def _lists(root: str, name: str, inode: int) -> frozenset[tuple[str, Digest]]:
    receipt = kept_receipt(root, name)
    return frozenset((each.locator, each.digest) for each in receipt.of_kind('files')) if receipt else frozenset()
