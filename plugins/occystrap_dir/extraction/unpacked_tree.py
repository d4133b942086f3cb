"""Unpacking one tree, from an empty directory to the list of its files."""
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from occystrap_core import Cancelled
from occystrap_core.files import ByteStream, output_errors
from occystrap_core.oci import Digest
from occystrap_dir.extraction.attributes import Setter
from occystrap_dir.extraction.checked_entry import AttributeRefused
from occystrap_dir.extraction.limits import Budget
from occystrap_dir.extraction.marks import Hiding, Marks
from occystrap_dir.extraction.staged_directory import Staging
from occystrap_dir.extraction.attributes import Cover
from occystrap_dir.extraction.tree import Tree
from occystrap_dir.file_list.head import Head, ListedLayer
from occystrap_dir.file_list.record import TreeRecord

_STOPPING = 0.2
"""Seconds that `abort` waits for a thread that still unpacks."""
_BUFFER = 1 << 20


class Limits:
    """What all trees of one image share: limits, and counts of attributes that could not be set."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.budget = Budget(options['max_unpacked'], options['max_entries'], options['max_names'])
        self.setter = Setter(bool(options['rootless']))
        self.mode: int = options['mode'] or 0o700
        """The mode of the directory that keeps other users out of the unpacked files."""

    @property
    def notes(self) -> list[str]:
        """Lines for the user about what could not be set, if anything."""
        return self.setter.notes


class Unpacking:
    """Unpacks layers into a directory that appears by one rename."""

    def __init__(self, staging: Staging, destination: str, limits: Limits, sync: bool,
                 marks: Callable[[Tree], Marks] = Hiding) -> None:
        """`staging` is the directory to unpack into, `destination` the path that errors name."""
        self.staging, self._destination = staging, destination
        self._limits, self._sync, self._marks = limits, sync, marks
        self._record: TreeRecord | None = None
        self._tree: Tree | None = None
        self._layers: list[ListedLayer] = []
        self._working = threading.Lock()
        self._ended = False

    @property
    def tree(self) -> Tree:
        """The tree, after `begin`."""
        assert self._tree
        return self._tree

    def begin(self, below: str = '') -> None:
        """Make the directory, and with `below` a directory in it for the tree; raises OutputError."""
        self.staging.begin()
        with output_errors(self._destination):
            if below:
                self.staging.inside.make(below)
            self._record = TreeRecord(self.staging.above, self._limits.budget.named)
            with self.staging.inside.directory(below) as directory:
                self._tree = Tree(directory, self._record, self._limits.setter, self._limits.budget, self._marks,
                                  self._sync)

    def add(self, stream: ByteStream) -> None:
        """Apply a layer over those before it, reading it to its end; raises InvalidImage, OutputError."""
        stream.observe(self._check)
        with self._at_work():
            try:
                self.tree.apply(len(self._layers), stream)
            except AttributeRefused as error:
                raise error.below(self._destination) from None
            self._layers.append(ListedLayer(stream.digest, stream.size))

    def put_cover(self, layers: Sequence[ListedLayer], cover: Cover) -> None:
        """Apply the cover for these layers; raises InvalidImage, OutputError."""
        with self._at_work():
            self.tree.put_cover(cover)
            self._layers += layers

    def finish(self, write: Callable[[bytes], object], image_id: Digest | None = None) -> tuple[Digest, int]:
        """Set the modes of directories, and `write` the list of files; return its digest and its size in bytes.

        The list names its layers, and its image if `image_id` is given.
        """
        digest, size, held = hashlib.sha256(), 0, bytearray()
        with self._at_work():
            for line in self.tree.finish(Head(self._layers, image_id)):
                held += line
                if len(held) >= _BUFFER:
                    digest.update(held)
                    size += len(held)
                    write(bytes(held))
                    held.clear()
            digest.update(held)
            write(bytes(held))
            self._close()
        return Digest.of_hash(digest), size + len(held)

    def abort(self) -> None:
        """Remove what was unpacked, unless it was moved to its destination; raises OSError.

        A thread that still unpacks then closes what it has open itself: the numbers of its descriptors would otherwise
        be given to other images, into which it would write.
        """
        self._ended = True
        if self._working.acquire(timeout=_STOPPING):
            try:
                self._close()
            finally:
                self._working.release()
        self.staging.discard()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Use the tree, which stays open meanwhile, also if `abort` is called."""
        with self._working, output_errors(self._destination):
            try:
                yield
            finally:
                if self._ended:
                    self._close()

    def _check(self, count: int) -> None:
        if self._ended:
            raise Cancelled(f'writing to {self._destination} was cancelled')

    def _close(self) -> None:
        for each in (self._tree, self._record):
            if each:
                with suppress(OSError):
                    each.close()
        self._tree = self._record = None
