"""What is allowed: a size, and layers that are denied. All of it can be told from the receipt."""
from collections.abc import Mapping
from typing import NamedTuple, Self

from occystrap_core import CheckResults, InvalidImage, OptionType, Receipt, UsageError
from occystrap_core.oci import Digest

LIMIT, DENIED = 'OCCYSTRAP_SIZELIMIT', 'OCCYSTRAP_SIZELIMIT_DENIED'


class Policy(NamedTuple):
    """The limit in bytes, None for none, and the diff_ids of denied layers."""

    limit: int | None
    denied: frozenset[Digest]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the policy, None without one; raises UsageError, by which every image is unverified."""
        limit, path = environment.get(LIMIT, ''), environment.get(DENIED, '')
        if not limit and not path:
            return None
        return cls(_size(limit) if limit else None, _digests(path) if path else frozenset())

    def check(self, receipt: Receipt) -> CheckResults:
        """Return an error for each rule that the image breaks."""
        results = CheckResults()
        name = receipt.reference or receipt.destination
        used = {*receipt.diff_ids, *(each for part in receipt.all_parts() for each in part.diff_ids)}
        for digest in sorted(used & self.denied):
            results.error(name, f'has the layer {digest}, which {DENIED} lists: build it on another base')
        if self.limit is not None:
            self._check_size(receipt, name, self.limit, results)
        return results

    def _check_size(self, receipt: Receipt, name: str, limit: int, results: CheckResults) -> None:
        sizes = {each.digest: each.size for each in receipt.of_kind('layer')}  # a layer that is there twice counts once
        if not sizes and receipt.diff_ids or any(size < 0 for size in sizes.values()):  # some services tell none
            results.unverified(name, f'its receipt does not say how large the layers are, which {LIMIT} needs')
        elif (size := sum(sizes.values())) > limit:
            results.error(name, f'has layers of {size} bytes, {LIMIT} allows {limit}: make it smaller')


def _size(text: str) -> int:
    try:
        return int(OptionType.SIZE.parse(text))
    except ValueError as error:
        raise UsageError(f'{LIMIT}={text}: {error}') from None


def _digests(path: str) -> frozenset[Digest]:
    try:
        with open(path, encoding='utf-8') as file:
            lines = [line.partition('#')[0].strip() for line in file]
        return frozenset(Digest(line) for line in lines if line)
    except (OSError, UnicodeDecodeError, InvalidImage) as error:
        raise UsageError(f'{DENIED}={path} cannot be used: {error}') from None
