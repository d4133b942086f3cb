"""The results of filters and compression for layers, kept for other images and later runs."""
import os
import threading
from typing import Any, NamedTuple, Protocol

from occystrap_core.errors import InvalidImage, OutputError, UsageError
from occystrap_core.files.durability import database_advice
from occystrap_core.files.stream import ByteStream
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest


class Result(NamedTuple):
    """The result for a layer: its diff_id, and its blob if one was made."""

    diff_id: Digest
    descriptor: Descriptor | None = None


class LayerCache(Protocol):
    """Results by the digests of what they were made from and the recipe (filters, form, compression); used by several
    threads."""

    def find(self, made_from: str, recipe: str) -> Result | None:
        """Return the result, None if unknown."""

    def keep(self, made_from: str, recipe: str, result: Result) -> None:
        """Remember a result."""


class CachedLayer(Layer):
    """A layer whose digests are known from the cache, which does not keep its bytes. The destination may have it."""

    def __init__(self, original: Layer, result: Result) -> None:
        self.original, self.index = original, original.index
        self.diff_id, self.descriptor = result.diff_id, result.descriptor

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Raise InvalidImage: the bytes are not kept."""
        raise InvalidImage(f'layer {self.diff_id} is in the cache without its bytes')

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar of the layer it was made from."""
        assert self.original
        return self.original.tar(observers)


class RunCache:
    """Remembers results during a run."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], Result] = {}

    def find(self, made_from: str, recipe: str) -> Result | None:
        """Return the result, None if unknown."""
        return self._results.get((made_from, recipe))

    def keep(self, made_from: str, recipe: str, result: Result) -> None:
        """Remember a result."""
        self._results[made_from, recipe] = result


_PATIENCE = 30.0
_TABLE = """CREATE TABLE IF NOT EXISTS layers (
    made_from TEXT NOT NULL, recipe TEXT NOT NULL, diff_id TEXT NOT NULL, media_type TEXT, digest TEXT, size INTEGER,
    seal TEXT NOT NULL, PRIMARY KEY (made_from, recipe)) WITHOUT ROWID"""
_VERSION = 1


class FileCache:
    """Remembers results in a SQLite file, which several processes may use in parallel."""

    def __init__(self, path: str) -> None:
        """Open or create the file; raises UsageError if it is not a layer cache, OutputError if it cannot be used."""
        import sqlite3  # late: the import takes milliseconds, and few copies need it
        self._path, self._error = path, sqlite3.Error
        if os.path.lexists(path) and not os.path.isfile(path):
            raise UsageError(f'the layer cache {path} is not a regular file: choose another file')
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            self._prepare()
        except self._error as error:
            raise self._unusable(error) from None

    def find(self, made_from: str, recipe: str) -> Result | None:
        """Return the result, None if unknown; raises OutputError for a damaged file."""
        rows = self._ask('SELECT diff_id, media_type, digest, size, seal FROM layers '
                         'WHERE made_from = ? AND recipe = ?', made_from, recipe)
        for *fields, seal in rows:
            if seal != _seal(made_from, recipe, *fields):
                raise self._unusable('it is damaged')
            diff_id, media_type, digest, size = fields
            return Result(Digest(diff_id), Descriptor(media_type, Digest(digest), size) if digest else None)
        return None

    def keep(self, made_from: str, recipe: str, result: Result) -> None:
        """Remember a result; raises OutputError if it cannot be written."""
        blob = result.descriptor
        row = (made_from, recipe, result.diff_id,
               *((blob.media_type, blob.digest, blob.size) if blob else (None, None, None)))
        self._ask('INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?, ?, ?)', *row, _seal(*row))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        version, = self._connection.execute('PRAGMA user_version').fetchone()
        if version not in (0, _VERSION):
            raise OutputError(f'the layer cache {self._path} is of another version of this program: choose another '
                              'file')
        tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if tables not in ([], [('layers',)]):
            raise UsageError(f'{self._path} is a database of another program: choose another file as layer cache')
        self._connection.execute(_TABLE)
        self._connection.execute(f'PRAGMA user_version = {_VERSION}')

    def _ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        plain = [str(each) if isinstance(each, str) else each for each in values]
        try:
            with self._lock:
                return self._connection.execute(statement, plain).fetchall()
        except self._error as error:
            raise self._unusable(error) from None

    def _unusable(self, error: object) -> OutputError:
        return OutputError(f'the layer cache {self._path} cannot be used: {error}: {database_advice(error)}')


def _seal(*row: object) -> str:
    """Return a checksum that reveals a changed row, which would put another layer into an image."""
    return Digest.of('\n'.join(str(each) for each in row).encode())


def made_from(layer: Layer, stored: bool) -> str | None:
    """Return the digests that identify what a layer is made from; with `stored` for making its blob.

    None if nothing has to be made, or they are unknown. The diff_id is one of them, since a config may list a wrong one
    for the blob, which is noticed only when the layer is read, or one of another algorithm, which the result keeps.
    """
    if layer.descriptor if stored else layer is layer.source:
        return None
    source = layer.source
    known = source.descriptor.digest if source.descriptor else None, source.diff_id
    return ' '.join(each for each in known if each) or None
