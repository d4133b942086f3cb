"""The receipts that a folder keeps: what is known of its images and layers from the runs that wrote them."""
import os
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from occystrap_core import Evidence, InvalidImage, InvalidReceipt, Receipt
from occystrap_core.oci import Digest
from occystrap_dir.beneath import Beneath
from occystrap_dir.workspace import RECEIPTS

_CAP = 64 << 20


def kept_receipt(root: str, manifest: str) -> Receipt | None:
    """Return the receipt of the image whose manifest has this name; None without a readable one."""
    try:
        return Receipt.from_json(Beneath(root).read(f'{RECEIPTS}/{manifest}', _CAP))
    except (OSError, InvalidImage, InvalidReceipt):
        return None


def with_known_evidence(receipt: Receipt, earlier: Receipt | None) -> Receipt:
    """Return the receipt to keep: what an earlier run saw with its own eyes stays seen when a rerun skips it."""
    seen = {each for each in (earlier.expectations if earlier else ()) if each.evidence is Evidence.STREAMED}
    upgraded = (replace(each, evidence=Evidence.STREAMED) for each in receipt.expectations)
    return replace(receipt, expectations=tuple(
        better if better in seen else each for each, better in zip(receipt.expectations, upgraded, strict=True)))


def recorded_sizes(root: str) -> dict[Digest, int]:
    """Return the size in bytes of every layer that the kept receipts tell of, by diff_id."""
    sizes: dict[Digest, int] = {}
    with suppress(OSError), Beneath(root).directory(RECEIPTS) as directory:  # without receipts nothing is known
        with os.scandir(directory) as entries:
            for entry in entries:
                sizes.update(_layer_sizes(root, entry.name, entry.inode()))
    return sizes


@lru_cache(maxsize=4096)
def _layer_sizes(root: str, name: str, inode: int) -> dict[Digest, int]:
    """Return the layers of one receipt; cached because many images go into one folder, and never wrong later on."""
    receipt = kept_receipt(root, name)
    return {layer.digest: layer.size for layer in receipt.of_kind('layer')} if receipt else {}
