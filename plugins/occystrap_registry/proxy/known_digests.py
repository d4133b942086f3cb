"""What a proxy remembers across restarts: what tags mean upstream, which digest replaced which, and which blobs
downstream are damaged or were read back."""
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from occystrap_core import OutputError
from occystrap_core.files import database_advice
from occystrap_core.oci import Digest

_PATIENCE = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS tags (repository TEXT, tag TEXT, recipe TEXT, source TEXT, stored TEXT, checked REAL,
    PRIMARY KEY (repository, tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replaced (repository TEXT, original TEXT, recipe TEXT, stored TEXT,
    PRIMARY KEY (repository, original)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS damaged (repository TEXT, digest TEXT, recipe TEXT,
    PRIMARY KEY (repository, digest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS read (repository TEXT, digest TEXT, recipe TEXT,
    PRIMARY KEY (repository, digest)) WITHOUT ROWID;
"""


class KnownTag(NamedTuple):
    """What is known about a tag."""

    source: str
    """Its digest upstream; empty if it was pushed here."""
    stored: Digest
    """Its digest downstream."""
    checked: float
    """When upstream was last asked, in seconds since 1970."""

    def is_fresh(self, seconds: float) -> bool:
        """Return whether upstream was asked within the last `seconds`; False if the clock was set back."""
        return 0 <= time.time() - self.checked < seconds


class KnownDigests:
    """The memory of a proxy, for several threads. Facts that belong to other filters or another downstream are ignored.
    """

    def __init__(self, path: Path, recipe: str) -> None:
        """`recipe` identifies filters and downstream. Raises OutputError for a file that cannot be used."""
        self._path, self._recipe, self._lock = path, recipe, threading.Lock()
        try:
            self._file = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            self._file.executescript(_TABLES)
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def tag(self, repository: str, tag: str) -> KnownTag | None:
        """Return what is known about a tag."""
        rows = self._ask('SELECT source, stored, checked FROM tags WHERE repository = ? AND tag = ? AND recipe = ?',
                         repository, tag, self._recipe)
        return next((KnownTag(source, Digest(stored), checked) for source, stored, checked in rows), None)

    def note_tag(self, repository: str, tag: str, source: str, stored: str) -> None:
        """Record what a tag means upstream, which was just asked, and downstream."""
        self._ask('INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?, ?)', repository, tag, self._recipe, source,
                  stored, time.time())

    def forget(self, repository: str, reference: Digest | str) -> None:
        """Forget a tag that is gone downstream, or a manifest with all its tags."""
        if isinstance(reference, Digest):
            for table in ('tags', 'replaced'):
                self._ask(f'DELETE FROM {table} WHERE repository = ? AND stored = ?', repository, reference)
        else:
            self._ask('DELETE FROM tags WHERE repository = ? AND tag = ?', repository, reference)

    def forget_copy(self, repository: str, reference: Digest | str) -> None:
        """Forget a tag that came from upstream, or all such tags of a manifest; pushed ones are kept."""
        column = 'stored' if isinstance(reference, Digest) else 'tag'
        self._ask(f"DELETE FROM tags WHERE repository = ? AND {column} = ? AND source <> ''", repository, reference)

    def stored_for(self, repository: str, original: Digest) -> Digest | None:
        """Return the digest that an image has downstream, None if unknown."""
        rows = self._ask('SELECT stored FROM replaced WHERE repository = ? AND original = ? AND recipe = ?', repository,
                         original, self._recipe)
        return next((Digest(stored) for stored, in rows), None)

    def originals_of(self, repository: str, stored: Digest) -> list[Digest]:
        """Return the digests, in order, of images that have this digest downstream."""
        rows = self._ask('SELECT original FROM replaced WHERE repository = ? AND stored = ? AND recipe = ? '
                         'ORDER BY original', repository, stored, self._recipe)
        return [Digest(original) for original, in rows]

    def note(self, repository: str, original: str, stored: str) -> None:
        """Record the digest that an image has downstream."""
        self._ask('INSERT OR REPLACE INTO replaced VALUES (?, ?, ?, ?)', repository, original, self._recipe, stored)

    def damaged(self, repository: str) -> frozenset[Digest]:
        """Return the blobs of a repository that were found damaged downstream, and not found intact since."""
        rows = self._ask('SELECT digest FROM damaged WHERE repository = ? AND recipe = ?', repository, self._recipe)
        return frozenset(Digest(digest) for digest, in rows)

    def note_damaged(self, repository: str, digests: Iterable[Digest]) -> None:
        """Record that blobs are damaged downstream."""
        for each in digests:
            self.forget_read(repository, each)
            self._ask('INSERT OR REPLACE INTO damaged VALUES (?, ?, ?)', repository, each, self._recipe)

    def note_sound(self, repository: str, digests: Iterable[Digest]) -> None:
        """Record that blobs were read from downstream, and are intact."""
        for each in self.damaged(repository).intersection(digests):
            self._ask('DELETE FROM damaged WHERE repository = ? AND digest = ?', repository, each)

    def is_read(self, repository: str, digest: Digest) -> bool:
        """Return whether a blob was read back after it was stored downstream, and was intact."""
        return bool(self._ask('SELECT 1 FROM read WHERE repository = ? AND digest = ? AND recipe = ?', repository,
                              digest, self._recipe))

    def note_read(self, repository: str, digest: Digest) -> None:
        """Record that a blob was read back, and was intact."""
        self._ask('INSERT OR REPLACE INTO read VALUES (?, ?, ?)', repository, digest, self._recipe)

    def forget_read(self, repository: str, digest: Digest) -> None:
        """Record that a blob must be read back."""
        self._ask('DELETE FROM read WHERE repository = ? AND digest = ?', repository, digest)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        plain = [str(each) if isinstance(each, str) else each for each in values]
        try:
            with self._lock:
                return self._file.execute(statement, plain).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, error: object) -> OutputError:
        return OutputError(f'{self._path} cannot be used: {error}: {database_advice(error)}')
