"""An OCI archive for all images that a run writes to one path: shared blobs are written once, and one rename makes it
visible."""
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from occystrap_core import Cancelled, InvalidImage, OutputError, Settings
from occystrap_core.files import ByteStream, Readable, output_errors
from occystrap_core.oci import (
    INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, MANIFEST_CAP, Digest, Entry, IndexFile, blob_name, canonical,
)
from occystrap_tar.archive.oci_archive import name_keys, stored_key
from occystrap_tar.archive.present_images import PresentImage
from occystrap_tar.new_archive.archive_builder import ArchiveBuilder
from occystrap_tar.new_archive.archive_file import Region
from occystrap_tar.new_archive.carried_images import CarriedImage, carried_images
from occystrap_tar.new_archive.destination_file import check_destination
from occystrap_tar.new_archive.replaced_archive import ReplacedArchive


class Blob(NamedTuple):
    """A blob in the unfinished archive."""

    name: str
    archive: ArchiveBuilder
    region: Region


class OciBundle:
    """The unfinished archive: begun for the first image that is written, discarded when the last one has failed.

    Used by several threads. Writers join by `begin` and quit by `leave`.
    """

    def __init__(self, path: str, settings: Settings) -> None:
        self._path, self._settings = path, settings
        self.names: set[str] = set()
        """The names of all images of the run, known before the first one is written."""
        self.digests: set[Digest | None] = set()
        """The digests by which images without a name were requested."""
        self._replaced = ReplacedArchive()
        self.notes: Sequence[str] = ()
        self.carried: list[str] = []
        self._lock = threading.Lock()
        self._archive: ArchiveBuilder | None = None
        self._writers: set[object] = set()
        self._places: dict[str, Region] = {}
        self._reserved: set[Region] = set()
        self._taken: set[Region] = set()
        self._blobs: dict[str, Blob] = {}

    @classmethod
    def of(cls, path: str, settings: Settings) -> 'OciBundle':
        """Return the bundle that the images of a run at one path share."""
        return settings.shared.get((cls, os.path.realpath(path)), lambda: cls(path, settings))

    def look(self) -> None:
        """Look up what would be replaced; raises OutputError if images would be lost."""
        with output_errors(self._path):
            self._replaced = ReplacedArchive.at(self._path, self._settings)
        if not self._settings.force:
            self._replaced.require_kept(self._path, self.names, self.digests)

    @property
    def present(self) -> Sequence[PresentImage]:
        """The images in the archive that will be replaced."""
        return self._replaced.images

    def begin(self, writer: object) -> None:
        """Join; raises OutputError if the archive cannot be written, or would replace other images."""
        with self._lock:
            if self._archive is None:
                self.look()
                archive = ArchiveBuilder(self._path, self._settings)
                archive.begin(())
                self._archive = archive
            self._writers.add(writer)

    def leave(self, writer: object) -> None:
        """Quit; when no writer is left, everything is removed. Raises OutputError if that fails."""
        with self._lock:
            self._writers.discard(writer)
            archive = None if self._writers else self._archive
            if archive:
                self._end()
        if archive:
            archive.discard()

    def spare_base(self, left_out: Iterable[Digest]) -> None:
        """Refuse to replace an archive by a delta based on it; raises OutputError."""
        if not self._settings.force:
            self._replaced.require_no_base(self._path, left_out)

    def reserve(self, blobs: Iterable[tuple[Digest, int]]) -> None:
        """Reserve places for blobs of these sizes in bytes, in this order, so that equal images give equal archives."""
        with self._lock:
            archive = self._begun()
            for digest, size in blobs:
                name = blob_name(digest)
                if name not in self._places:
                    self._places[name] = archive.reserve(name, size)
                    self._reserved.add(self._places[name])

    def find(self, digest: Digest) -> Blob | None:
        """Return a blob that was written completely; None if there is none."""
        with self._lock:
            return self._blobs.get(blob_name(digest))

    def earlier(self, digest: Digest, size: int) -> Readable | None:
        """Open a blob of the archive that will be replaced, unchecked; None if it has none of this size."""
        with self._lock:
            earlier = self._replaced.archive
            member = earlier and earlier.members.get(blob_name(digest))
            return earlier.open(member) if earlier and member and member.size == size else None

    def write(self, digest: Digest, size: int, chunks: Iterable[memoryview]) -> Blob:
        """Write a blob, whose chunks raise an error unless they have this digest and size."""
        name = blob_name(digest)
        with self._lock:
            archive = self._begun()
            region = self._places.get(name)
            if region is None or region in self._taken:  # another image is writing it, or has written it
                region = archive.reserve(name, size)
                self._places.setdefault(name, region)
            self._taken.add(region)
        try:
            archive.fill(region, chunks)
        except BaseException:
            with self._lock:
                self._taken.discard(region)
            raise
        with self._lock:
            region.name = name
            blob = Blob(name, archive, region)
            return self._blobs.setdefault(name, blob) if archive is self._archive else blob

    def carry(self, written: Collection[str]) -> tuple[Sequence[Entry], Collection[str]]:
        """Copy images that the run names, but will not write, from the archive that will be replaced.

        `written` are the names of images that the run writes. Returns the entries and the names of the members.
        `carried` gets a line for each such image, also for those that can no longer be read.
        """
        asked, there = _keys(self.names), _keys(written)
        lost = [each for each in self._replaced.images if each.has_name_of(asked) and not each.has_name_of(there)]
        entries: dict[bytes, Entry] = {}
        members: set[str] = set()
        for image in lost:
            try:
                for found in self._found_earlier({stored_key(name) for name in image.names}):
                    members.update([self._copy_earlier(digest) for digest in found.blobs])
                    entries.update({canonical(entry): entry for entry in found.entries})
                    self.carried.append(f'{found.name} was not copied: {self._path} keeps what it had: {found.digest}')
            except (OSError, InvalidImage) as error:
                self.carried.append(f'{image} is no longer in {self._path}: {error}')
        return [*entries.values()], members

    def _found_earlier(self, keys: Collection[str]) -> Sequence[CarriedImage]:
        """Return the images with these names in the archive that will be replaced; raises OSError, InvalidImage."""
        earlier = self._replaced.archive
        found = [*carried_images(earlier, keys)] if earlier and INDEX_FILE in earlier.members else []
        if not found:
            raise InvalidImage('it is another kind of archive')
        return found

    def _copy_earlier(self, digest: Digest) -> str:
        """Copy a blob from the archive that will be replaced, unless it was written already; raises OSError,
        InvalidImage."""
        if blob := self.find(digest):
            return blob.name
        earlier = self._replaced.archive
        assert earlier
        member = earlier.find(blob_name(digest))
        with ByteStream(earlier.open(member), digest=digest, size=member.size) as stream:
            return self.write(digest, member.size, stream.chunks()).name

    def publish(self, named: Sequence[str], index: IndexFile, alone: bool) -> None:
        """Write the archive with these blobs and this index.json; raises OutputError.

        With `alone`, for a single image, blobs whose places were not reserved are in the order of `named`: those that
        had to be compressed arrive in any order.
        """
        document = index.to_json()
        if len(document) > MANIFEST_CAP:
            raise OutputError(f'{self._path}: its {INDEX_FILE} would exceed the {MANIFEST_CAP} bytes allowed: write '
                              'fewer images to one archive')
        with self._lock:
            archive = self._begun()
            digests = self.digests.union(each.digest for each in index.manifests)
            if not self._settings.force:
                self._replaced.require_kept_digests(self._path, digests)
            rank = dict(zip(named, range(len(named)), strict=True))
            members = sorted((self._blobs[name].region for name in rank), key=lambda region: (
                self._order(region, rank) if alone else (0, region.offset)))
        archive.finish([(LAYOUT_FILE, LAYOUT_VERSION), (INDEX_FILE, document)], members,
                       lambda: self._look_again(digests))
        with self._lock:
            self.notes = archive.notes
            self._end()

    def _look_again(self, digests: Collection[Digest | None]) -> None:
        """Raise OutputError if images would be lost that another run has written meanwhile."""
        check_destination(self._path, self._settings)
        found = ReplacedArchive.at(self._path, self._settings)
        if found is not self._replaced and not self._settings.force:
            found.require_kept(self._path, self.names, self.digests)
            found.require_kept_digests(self._path, digests)

    def _order(self, region: Region, rank: Mapping[str, int]) -> tuple[int, int]:
        return (0, region.offset) if region in self._reserved else (1, rank[region.name])

    def _begun(self) -> ArchiveBuilder:
        if self._archive is None:
            raise Cancelled(f'writing {self._path} was cancelled')
        return self._archive

    def _end(self) -> None:
        """Forget the archive, which is complete or discarded."""
        self._archive, self._replaced = None, ReplacedArchive()
        self._writers, self._reserved, self._taken = set(), set(), set()
        self._places, self._blobs = {}, {}


def _keys(names: Iterable[str]) -> set[str]:
    return {key for name in names if name for key in name_keys(name)}
