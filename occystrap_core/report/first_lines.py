"""The first few of lines for the user of which there may be millions."""
from occystrap_core.terminal_text import counted

_SHOWN = 5


class FirstLines:
    """Keeps the first few of the lines that are added, each once, and counts the others."""

    def __init__(self) -> None:
        self._first: dict[str, None] = {}
        self._more = 0

    def add(self, line: str) -> None:
        """Keep a line, or count it."""
        if len(self._first) < _SHOWN:
            self._first[line] = None
        elif line not in self._first:
            self._more += 1

    def lines(self, one: str, several: str, what: str) -> list[str]:
        """Return the lines, and `12 more SEVERAL are WHAT`."""
        more = f'{counted(self._more, f"more {one}", f"more {several}")} {"is" if self._more == 1 else "are"} {what}'
        return [*self._first, *([more] if self._more else [])]
