"""Work on a thread of its own beside a server: an error is logged once, and the server continues."""
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from occystrap_core import OccystrapError
from occystrap_core.files import print_message

_PATIENCE = 5.0
"""Seconds that the work has to end; it may be aborted at any point."""


class BackgroundWork:
    """Runs while the with block does; subclasses define the work in `_run`."""

    def __init__(self, name: str) -> None:
        """`name` is that of the thread."""
        self._ending = threading.Event()
        self._said = set[str]()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self._ending.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        """Work until `_ending` is set."""
        raise NotImplementedError

    def _try(self, work: Callable[[], object]) -> None:
        """Do some work; a failure is logged once, and serving continues."""
        try:
            work()
        except (OccystrapError, OSError) as error:
            self._say(str(error))
        except Exception as error:  # a mistake of ours; without this thread nothing would be removed any more
            self._say(f'{self._thread.name} failed: {type(error).__name__}: {error}; report it to the author of '
                      'occystrap-registry')

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            print_message(f'occystrap: warning: {text}')
