"""Detects workers without a login: those that were denied access to every image while other workers have access."""
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from occystrap_core.errors import AccessDenied, OccystrapError

LIMIT = 3
"""A worker without any success is left out after this number of denials, if other workers have access."""
T = TypeVar('T')


class Denials(Generic[T]):
    """Holds back denials of workers without a success so far, since either the worker or the image may be the cause."""

    def __init__(self, leave_out: Callable[[str, str], object] | None) -> None:
        """`leave_out` takes a worker's name, and why it gets no more images; if it is None, no denial is held back."""
        self._leave_out = leave_out
        self._held: defaultdict[str, list[T]] = defaultdict(list)
        self._counts, self._last = Counter[str](), dict[str, OccystrapError]()
        self._good, self._out = set[str](), set[str]()

    @property
    def held(self) -> int:
        """The number of results that are held back."""
        return sum(map(len, self._held.values()))

    def answered(self, worker: str, result: T, error: OccystrapError | None) -> tuple[Sequence[T], Sequence[T]]:
        """Record a result; return the results that are now final, and those whose images other workers must try."""
        if error is None:
            self._good.add(worker)
            return [*self._held.pop(worker, ()), result], self._of_unfit()
        if self._leave_out is None or worker in self._good or not isinstance(error, AccessDenied):
            return [result], []
        self._held[worker].append(result)
        self._counts[worker] += 1
        self._last[worker] = error
        return [], self._of_unfit()

    def rest(self) -> tuple[Sequence[T], Sequence[T]]:
        """Return, as `answered` does, what is held back when nothing else is left: it is final if no worker has access.
        """
        held = [each for results in self._held.values() for each in results]
        self._held.clear()
        return ([], held) if self._good else (held, [])

    def _of_unfit(self) -> Sequence[T]:
        """Leave out the workers that lack a login; return the results that they were denied."""
        if not self._good:
            return []
        unfit = [worker for worker in self._held if self._counts[worker] >= LIMIT]
        for worker in unfit:
            self._leave(worker)
        return [each for worker in unfit for each in self._held.pop(worker)]

    def _leave(self, worker: str) -> None:
        if self._leave_out and worker not in self._out:
            self._out.add(worker)
            self._leave_out(worker, f'access denied for all {self._counts[worker]} images that it got, while others '
                                    f'have access: {self._last[worker]}')
