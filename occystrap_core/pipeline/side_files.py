"""The files that a run writes besides images: none may be an image, or be used by two options."""
import os
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice

from occystrap_core.api.place import Place
from occystrap_core.errors import UsageError


class SideFiles:
    """Files by their paths, each with its option."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, str, bool]] = {}

    def __bool__(self) -> bool:
        return bool(self._named)

    def add(self, option: str, path: str | None, within: bool = False) -> None:
        """Add a file, unless `path` is a device or pipe, which has no content to lose.

        `within`: it may be in the directory of an image. Raises UsageError if another option names the same file.
        """
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            return
        other, _, _ = self._named.setdefault(os.path.realpath(path), (option, path, within))
        if other != option:
            raise UsageError(f'{option} and {other} both write to {path}: name two files')

    def refuse_places(self, paths: Iterable[str]) -> None:
        """Raise UsageError if a file is, or is below, one of the paths that images are read from or written to."""
        taken = {Place.at(path).root: path for path in paths if path}
        for real, (option, path, within) in self._named.items():
            for root in islice(_upwards(real), 1 if within else None):
                if root in taken:
                    raise UsageError(f'{option} {path} is, or lies within, a source or destination of this run, '
                                     f'{taken[root]}: name a file elsewhere')


def side_files(receipts: str | None, layer_cache: str | None) -> SideFiles:
    """Return the files that options name, None for those that do not; raises UsageError if they are the same."""
    files = SideFiles()
    files.add('--receipt', receipts, within=True)
    files.add('--layer-cache', layer_cache, within=True)
    return files


def _upwards(path: str) -> Iterator[Hashable]:
    """Yield the identity of a path, and of each directory above it."""
    while True:
        yield Place(path).root
        above = os.path.dirname(path)
        if above == path:
            return
        path = above
