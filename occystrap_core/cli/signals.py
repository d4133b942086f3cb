"""Signals that end the process: within two seconds, or as soon as temporary files are removed."""
import os
import signal
import threading
import time
import weakref
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from occystrap_core.terminal import print_last_line

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK = 0.1
_STUCK = 1.6
"""Seconds after which the main thread must have noticed a signal; else it is stuck in a call that does not return."""
_AGAIN = 2.0
"""Seconds after the first signal from which on another one ends the process immediately; an earlier one may be the
same."""


class Interrupted(BaseException):
    """A signal asked the process to end; `exit_code` is 128 plus the signal's number, as in shells."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Signals:
    """Raises Interrupted in the main thread, once: later signals are ignored while temporary files are removed.

    A thread supervises this. Python raises only between two of its own instructions: if the main thread is stuck in a
    library, the thread ends the process. If the exception was swallowed, as happens in finalizers, it is raised again.
    Where Python would wrap it in another one (see `_wraps`), it is raised a moment later.
    """

    def __init__(self) -> None:
        self._raised: weakref.ref[Interrupted] | None = None
        self._postponed = False
        self._watched = False
        self._since = 0.0
        self._ended = False

    def begin(self) -> None:
        """Start handling signals; a hang-up that is ignored by the caller's choice, as with nohup, stays ignored."""
        heard = [each for each in _NUMBERS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in heard:
            signal.signal(number, self._handle)
        with suppress(RuntimeError):  # no thread is permitted: then a stuck main thread is not ended
            threading.Thread(target=self._watch, args=(reading,), name='signals', daemon=True).start()
            self._watched = True

    def end(self) -> None:
        """Stop handling signals: the exit code is known."""
        self._ended = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._ended:
            return
        if not self._is_on_its_way():
            self._postponed = self._watched and _wraps(frame)
            if self._postponed:
                return
            self._since = time.monotonic()
            raise self._interrupted(number)  # not kept in a variable: its own traceback would keep it alive
        if time.monotonic() - self._since > _AGAIN:
            _end_at_once(number, 'interrupted again: temporary files are left for the next run to remove')

    def _interrupted(self, number: int) -> Interrupted:
        error = Interrupted(number)
        self._raised = weakref.ref(error)
        return error

    def _is_on_its_way(self) -> bool:
        return self._raised is not None and self._raised() is not None

    def _watch(self, reading: int) -> None:
        while number := os.read(reading, 1):
            if number[0] in _NUMBERS:
                self._deliver(number[0])

    def _deliver(self, number: int) -> None:
        """Make sure that the signal reaches the main thread and ends it."""
        since = time.monotonic()
        while not self._ended:
            time.sleep(_LOOK)
            if self._raised is None and time.monotonic() - since > _STUCK:
                _end_at_once(number, 'interrupted; the current operation did not respond')
            is_lost = self._raised is not None and not self._is_on_its_way()
            if (self._postponed or is_lost) and not self._ended:
                signal.pthread_kill(threading.main_thread().ident or 0, number)


def _wraps(frame: FrameType | None) -> bool:
    """Whether an exception raised in this frame would get lost in another one.

    Up to Python 3.11, whatever is raised in `__set_name__`, while a class is made, becomes the cause of a RuntimeError,
    which code around imports reports as a fault of the module.
    """
    while frame and frame.f_code.co_name != '__set_name__':
        frame = frame.f_back
    return frame is not None


def _end_at_once(number: int, message: str) -> NoReturn:
    print_last_line(f'occystrap: error: {message}')
    os._exit(128 + number)
