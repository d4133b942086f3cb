"""Verifying a tree against its list of files, and the list by its digest."""
from occystrap_core import READ, CheckResults, Expectation, Settings
from occystrap_dir.file_list.head import Head, OtherVersion, lines_of
from occystrap_dir.file_list.tree_check import TreeCheck
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.names import file_size


def check_files(expected: Expectation, root: str, directory: str, full: bool, settings: Settings, results: CheckResults,
                ) -> None:
    """Report how the list differs from the expectation, and the tree in `directory` from the list.

    `full` compares contents too. Raises FileNotFoundError without a list, WrongKind, InvalidImage, OSError.
    """
    size = file_size(root, expected.locator)
    digest, _ = Beneath(root).hash(expected.locator) if size == expected.size else (None, 0)
    results.found(expected, size=size, digest=digest, evidence=READ)
    if digest != expected.digest:
        return
    tree = CheckResults()
    try:
        head = check_tree(root, expected.locator, directory, full, settings, tree)
    except OtherVersion as error:
        results.unreachable(expected, str(error))
        return
    for each in tree.results:
        results.differs(expected, each.message, each.item)
    results.walked(expected, contents=full, covers=head.covers)


def read_head(root: str, listing: str) -> Head:
    """Return the head of a list of files; raises OSError, InvalidImage."""
    with open(Beneath(root).open(listing), 'rb') as file:
        return Head.read(file)


def check_tree(root: str, listing: str, name: str, full: bool, settings: Settings, results: CheckResults,
               may_miss: bool = False) -> Head:
    """Compare the tree in a directory below a root with a list of files; return the head of the list.

    With `may_miss` only what was added or changed is reported. Raises OSError, InvalidImage.
    """
    place = Beneath(root)
    with open(place.open(listing), 'rb') as file:
        head = Head.read(file)
        if not place.is_directory(name):
            results.error(name, 'is missing')
            return head
        with place.directory(name) as directory:
            TreeCheck(directory, name, head.file_system, full, settings, results, may_miss).check(lines_of(file))
    return head
