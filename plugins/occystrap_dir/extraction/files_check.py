"""Verifying a tree by the list of its files, and the list by its digest."""
import os

from occystrap_core import READ, CheckResults, Expectation, Settings, hash_file
from occystrap_dir.extraction.mtree import read_lines
from occystrap_dir.extraction.tree_check import TreeCheck
from occystrap_dir.names import file_size


def check_files(expected: Expectation, root: str, folder: str, full: bool, settings: Settings, results: CheckResults,
                ) -> None:
    """Note how the list that is expected, and the tree in `folder` that it is of, are not as they should be.

    `full` compares contents too. Raises FileNotFoundError without a list, WrongKind, InvalidImage, OSError.
    """
    size = file_size(root, expected.locator)
    digest, _ = hash_file(f'{root}/{expected.locator}') if size == expected.size else (None, 0)
    results.found(expected, size=size, digest=digest, evidence=READ)
    if digest == expected.digest:
        tree = CheckResults()
        check_tree(f'{root}/{expected.locator}', f'{root}/{folder}', folder, full, settings, tree)
        for each in tree.results:
            results.differs(expected, each.message, each.item)
        results.walked(expected, contents=full, covers=expected.covers)


def check_tree(listing: str, path: str, name: str, full: bool, settings: Settings, results: CheckResults) -> None:
    """Hold the tree at a path, called `name` in messages, against a list of files; raises OSError, InvalidImage."""
    if os.path.islink(path) or not os.path.isdir(path):
        results.error(name, 'is missing')
    else:
        TreeCheck(path, name, full, settings, results).check(read_lines(listing))
