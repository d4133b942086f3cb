"""Which calls fail, and how: one of each kind of call site with one of its faults, or all with all of theirs."""
import errno
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path

from tests.hostile.faults.shim import SHORT, Call, Fault, How
from tests.services.requirements import EVERYTHING

_FULL = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
FAULTS: dict[str, Sequence[int]] = {
    'open': (*_FULL, errno.EINTR), 'write': (*_FULL, SHORT, errno.EINTR), 'truncate': (errno.EIO, errno.EINTR),
    'sync': (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR), 'rename': _FULL, 'link': _FULL, 'make': _FULL,
    'remove': (errno.EIO,), 'close': (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR), 'attribute': _FULL,
    'lock': (errno.ENOLCK, errno.EINTR)}
"""What the system may answer to each kind of call."""
TAKING = ('open', 'write', 'link', 'make')
"""What a full disk refuses; it lets names be moved and removed."""
INTERRUPTED = ('open', 'write', 'truncate', 'sync', 'close', 'lock')


def faults_of(calls: Sequence[Call], root: Path, share: int) -> Iterator[Fault]:
    """Yield the faults to be tried with a job that makes these calls below `root`, or one in `share` of the choice."""
    yield Fault(SHORT, 0, How.FROM, ('write',))
    yield Fault(errno.EINTR, 0, How.ALTERNATE, INTERRUPTED)
    yield from _everywhere(calls) if EVERYTHING else islice(_chosen(calls, root), 0, None, share)


def _everywhere(calls: Sequence[Call]) -> Iterator[Fault]:
    for number, call in enumerate(calls):
        yield from (Fault(error, number) for error in FAULTS[call.kind])
        yield from _lasting(number, call)


def _chosen(calls: Sequence[Call], root: Path) -> Iterator[Fault]:
    """One call of each site, the first, middle or last of them, in turn; the faults of its kind in turn as well."""
    turns = {kind: count() for kind in FAULTS}
    for numbers in _by_site(calls, root):
        call = calls[numbers[0]]
        turn = next(turns[call.kind])
        yield Fault(FAULTS[call.kind][turn % len(FAULTS[call.kind])], numbers[turn * len(numbers) // 2 % len(numbers)])
        if turn % 5 == 0:
            yield from _lasting(numbers[-1], call)


def _by_site(calls: Sequence[Call], root: Path) -> Iterable[list[int]]:
    sites: dict[tuple[str, ...], list[int]] = {}
    for number, call in enumerate(calls):
        sites.setdefault(call.site(root), []).append(number)
    return sites.values()


def _lasting(number: int, call: Call) -> Iterator[Fault]:
    """A disk that is full from here on; one that has gone."""
    if call.kind in TAKING:
        yield Fault(errno.ENOSPC, number, How.FROM, TAKING)
    yield Fault(errno.EIO, number, How.FROM)
