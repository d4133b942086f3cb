"""One image at its source, opened once for all its destinations."""
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from occystrap_core.errors import again
from occystrap_core.image.image import Content, Image, all_contents
from occystrap_core.layers.layer_reads import LayerReads
from occystrap_core.settings import Settings

_LOOK = 0.1


class Opened(NamedTuple):
    """The content that an input opened, before and after filters."""

    source: Content
    filtered: Content

    def arrived(self) -> None:
        """Tell the filters of an image, or of all images of an index, that it has arrived."""
        for each in all_contents(self.filtered) if self.filtered is not self.source else ():
            if isinstance(each, Image):
                each.copied()


class Opening:
    """Opens an image for its first user, and closes it after its last."""

    def __init__(self, users: int = 1) -> None:
        self._users = users
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._error: BaseException | None = None
        self._told = False

    def get(self, make: Callable[[], Opened]) -> Opened:
        """Return the image, opened by `make` for the first user; if that raised, raise the same for all users."""
        with self._lock:
            if self._error:
                raise again(self._error)
            try:
                self._opened = self._opened or make()
            except BaseException as error:
                self._error = error
                raise
            return self._opened

    def arrived(self) -> None:
        """Tell the filters that the image has arrived, for its first destination only."""
        with self._lock:
            told, self._told, opened = self._told, True, self._opened
            self._forget()
        if opened and not told:
            opened.arrived()

    def left(self) -> None:
        """Record that a user has ended; called once for each, in any case."""
        with self._lock:
            self._users -= 1
            opened = None if self._users else self._opened
            self._forget()
        if opened:
            opened.source.close()

    def _forget(self) -> None:
        """Free the memory of an image that is no longer needed."""
        if self._told and not self._users:
            self._opened = None


class RunAhead:
    """Prevents fast destinations from being far ahead of slow ones, as layers are kept for the slow ones meanwhile."""

    def __init__(self, most: int) -> None:
        """`most` is the number of images that a destination may be ahead."""
        self._most = most
        self._left: list[int] = []
        self._first = 0
        self._changed = threading.Condition()

    def expect(self, destinations: int) -> int:
        """Return the number for one more image of the run."""
        self._left.append(destinations)
        return len(self._left) - 1

    def wait(self, number: int, check: Callable[[], None]) -> None:
        """Wait until an image is near enough to the first that has not ended at all its destinations; `check` may
        raise."""
        with self._changed:
            while number >= self._first + self._most:
                self._changed.wait(_LOOK)
                check()

    def ended(self, number: int) -> None:
        """Record that an image has ended at a destination; called once for each destination, in any case."""
        with self._changed:
            self._left[number] -= 1
            while self._first < len(self._left) and not self._left[self._first]:
                self._first += 1
            self._changed.notify_all()


class SourceUse:
    """One destination's use of an image's source: opens it, or leaves it to other destinations."""

    def __init__(self, opening: Opening | None = None, reads: LayerReads | None = None,
                 turn: tuple[RunAhead, int] | None = None) -> None:
        """`turn` is the number of the image among those that have several destinations."""
        self._opening, self.reads, self._turn = opening or Opening(), reads or LayerReads(), turn
        self._ended = False

    @contextmanager
    def opened(self, make: Callable[[], Opened], settings: Settings) -> Iterator[Opened]:
        """Return the image, opened by `make` for the first destination; raises as that does."""
        try:
            if self._turn:
                self._turn[0].wait(self._turn[1], settings.cancellation.check)
            found = self._opening.get(make)
            self.reads.begin(found.filtered)
            yield found
        finally:
            self.end()

    def arrived(self) -> None:
        """Tell the filters that the image is at this destination, unless it arrived at another one first."""
        self._opening.arrived()

    def end(self) -> None:
        """Free what only this destination needed; called in any case, also if nothing was copied."""
        if self._ended:
            return
        self._ended = True
        self.reads.end()
        self._opening.left()
        if self._turn:
            self._turn[0].ended(self._turn[1])
