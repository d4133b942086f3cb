"""The lines of tables, keys and items in TOML, which tomllib does not report. Only for text that tomllib has accepted.
"""
import re
import tomllib
from collections.abc import Mapping

Path = tuple[str | int, ...]
"""Keys, and indexes of items in arrays, from the top."""
_BLANK = re.compile(r'(?:[ \t\r\n]+|#[^\n]*)*')
_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_DOT = re.compile(r'[ \t]*\.[ \t]*')
_STRING = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}|\'\'\'(?:[^\']|\'(?!\'\'))*\'{3,5}|'
                     r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_SCALAR = re.compile(r'[^,\]}\n#]+')


def toml_lines(text: str) -> Mapping[Path, int]:
    """Return the line, from 1, at which each table, key and item begins."""
    return _Walk(text).lines


class _Walk:
    """One pass over the text."""

    def __init__(self, text: str) -> None:
        self._text, self._place, self._line, self._counted = text, 0, 1, 0
        self.lines: dict[Path, int] = {}
        self._items: dict[Path, int] = {}
        table: Path = ()
        while self._skip(_BLANK) is not None and self._place < len(text):
            if text[self._place] == '[':
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> str | None:
        """Return the text that the pattern matches here, and skip it; None if it does not match."""
        found = pattern.match(self._text, self._place)
        if not found:
            return None
        self._place = found.end()
        return found[0]

    def _note(self, path: Path) -> None:
        self._line += self._text.count('\n', self._counted, self._place)
        self._counted = self._place
        self.lines.setdefault(path, self._line)

    def _keys(self) -> list[str]:
        """Return the parts of a dotted key."""
        found = [self._key()]
        while self._skip(_DOT):
            found.append(self._key())
        return found

    def _key(self) -> str:
        written = self._skip(_KEY) or ''
        return next(iter(tomllib.loads(f'{written} = 0'))) if written[:1] in ('"', "'") else written

    def _header(self) -> Path:
        """Return the path of a table after its header; that of `[[ ]]` ends with the index of the item."""
        begun, is_item = self._place, self._text.startswith('[[', self._place)
        self._place += 2 if is_item else 1
        self._skip(_BLANK)
        path: Path = ()
        for key in self._keys():
            path = self._last(path) + (key,)
        if is_item:
            self._items[path] = self._items.get(path, -1) + 1
        path, end = self._last(path) if is_item else path, self._text.index(']', self._place)
        self._place = begun
        self._note(path)
        self._place = end + (2 if is_item else 1)
        return path

    def _last(self, path: Path) -> Path:
        """Return the path of the newest item if a path is that of an array of tables."""
        return (*path, self._items[path]) if path in self._items else path

    def _pair(self, table: Path) -> None:
        begun = self._place
        path = (*table, *self._keys())
        end, self._place = self._place, begun
        self._note(path)
        self._place = self._text.index('=', end) + 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(_BLANK)
        self._note(path)
        opening = self._text[self._place]
        if opening not in '[{':
            self._skip(_STRING) or self._skip(_SCALAR)
            return
        self._place += 1
        number = 0
        while self._skip(_BLANK) is not None and self._text[self._place] not in ']}':
            if self._text[self._place] == ',':
                self._place, number = self._place + 1, number + 1
            elif opening == '[':
                self._value((*path, number))
            else:
                self._pair(path)
        self._place += 1
