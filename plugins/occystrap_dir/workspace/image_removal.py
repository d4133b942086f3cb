"""Removing images from destinations that hold several; at each destination in one run, with its list locked."""
from collections import defaultdict
from collections.abc import Callable, Sequence

from occystrap_core import OccystrapError, OutputError, Receipt
from occystrap_core.files import output_errors
from occystrap_dir.workspace.workspace import Workspace


def at_each(receipts: Sequence[Receipt], remove: Callable[[str, Sequence[Receipt]], list[str]]) -> list[str]:
    """Return for each receipt the reason why its image stays, empty if it was removed.

    `remove` is called with a destination and its receipts; an error there is the reason for all of them.
    """
    by_root: defaultdict[str, list[Receipt]] = defaultdict(list)
    for each in receipts:
        by_root[each.path].append(each)
    reasons: dict[int, str] = {}
    for root, group in by_root.items():
        try:
            found = remove(root, group)
        except OccystrapError as error:
            found = [str(error)] * len(group)
        reasons |= dict(zip(map(id, group), found, strict=True))
    return [reasons[id(each)] for each in receipts]


def in_one_run(workspace: Workspace, change: Callable[[], list[str]], sweep: Callable[[], None]) -> list[str]:
    """Return the result of `change`, which is called while no other run changes the list of images.

    `sweep` then removes what no image refers to any more. Raises what `change` raises, and OutputError if something
    cannot be removed.
    """
    workspace.enter()
    try:
        with output_errors(workspace.root), workspace.locked():
            reasons = change()
    except BaseException:
        workspace.give_up(sweep)
        raise
    workspace.leave(False, sweep)
    if workspace.notes:
        raise OutputError('; '.join(workspace.notes))
    return reasons
