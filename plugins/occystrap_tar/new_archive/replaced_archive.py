"""The file at the destination of a new archive, examined once a run: what would be lost by replacing it."""
import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from occystrap_core import InvalidImage, OutputError, Settings
from occystrap_core.files import MAGIC_SIZE, ImageError, detect_compression
from occystrap_core.oci import Compression, Digest, are_of_other_repositories, blob_name, first_names, left_out_by
from occystrap_tar.archive.members import Archive, WrittenArchive
from occystrap_tar.archive.oci_archive import name_keys, read_index

if TYPE_CHECKING:
    from occystrap_tar.archive.present_images import PresentImage


class ReplacedArchive(NamedTuple):
    """A file that will be replaced."""

    is_archive: bool = True
    """Whether it is an image archive, possibly damaged or truncated, or an empty file."""
    others: Sequence[str] = ()
    """Members that do not belong to images."""
    images: 'Sequence[PresentImage]' = ()
    archive: Archive | None = None
    """None if it is compressed, or cannot be read."""

    @classmethod
    def at(cls, path: str, settings: Settings) -> 'ReplacedArchive':
        """Return the file at a path; an empty description if there is none. Raises OSError."""
        if not os.path.isfile(path):
            return cls()
        found = os.stat(path)
        state = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        return settings.shared.get((cls, path, state), lambda: _looked_at(path, settings))

    def require_replaceable(self, path: str) -> None:
        """Raise OutputError if anything other than images would be lost."""
        if not self.is_archive:
            raise OutputError(f'{path} is not an image archive, and would be lost: choose another file, or use --force')
        if self.others:
            raise OutputError(f'{path} contains other files than images, and they would be lost: '
                              f'{first_names(self.others)}; choose another file, or use --force')

    def require_kept(self, path: str, names: Iterable[str], digests: Collection[Digest | None]) -> None:
        """Raise OutputError if the archive has several images of which the run does not write all, or one image of
        another repository.

        An image without a name is identified by its digest. The digests that result for `digests` are not known yet, so
        as many unnamed images are assumed to be written.
        """
        names = list(names)
        if len(self.images) == 1 and are_of_other_repositories(self.images[0].names, names):
            _refuse(path, self.images)
        keys = {key for name in names for key in name_keys(name)}
        lost = [each for each in self.images if each.names and not each.has_name_of(keys)]
        unnamed = [each for each in self.images if not each.names]
        if len(digests) < len(unnamed):
            lost += [each for each in unnamed if each.digest not in digests]
        _refuse(path, lost if len(self.images) > 1 else ())

    def require_kept_digests(self, path: str, digests: Collection[Digest | None]) -> None:
        """Raise OutputError if the archive has several images, and one without a name that is not among these digests.
        """
        lost = [each for each in self.images if not each.names and each.digest not in digests]
        _refuse(path, lost if len(self.images) > 1 else ())

    def require_no_base(self, path: str, left_out: Iterable[Digest]) -> None:
        """Raise OutputError if a whole archive has blobs that a delta leaves out, since it may be the base of that
        delta.

        The delta of a later run may replace that of an earlier one.
        """
        members = self.archive.members if self.archive and not _is_delta(self.archive) else ()
        if lost := [digest for digest in left_out if blob_name(digest) in members]:
            raise OutputError(f'{path} has what this delta leaves out, which would be lost: {lost[0]}; choose another '
                              'file, or use --force')


def _is_delta(archive: Archive) -> bool:
    try:
        return bool(left_out_by(read_index(archive).manifests))
    except ImageError:
        return False


def _refuse(path: str, lost: 'Sequence[PresentImage]') -> None:
    if lost:
        raise OutputError(f'{path} has images that this run does not write, and they would be lost: '
                          f'{first_names([*map(str, lost)])}; choose another file, or use --force to replace all of it')


def _looked_at(path: str, settings: Settings) -> ReplacedArchive:
    from occystrap_tar.archive.present_images import other_members, present_images  # late: most archives are new
    with open(path, 'rb') as file:
        head = file.read(MAGIC_SIZE)
    if not head:
        return ReplacedArchive()
    if settings.force and detect_compression(head) is not Compression.NONE:
        return ReplacedArchive()
    if detect_compression(head) is Compression.NONE:
        archive = WrittenArchive(path)
        others = other_members(archive)
        whole = None if archive.trouble else archive
        return ReplacedArchive(others is not None, others or (), present_images(archive), whole)
    return _uncompressed(path, settings)


def _uncompressed(path: str, settings: Settings) -> ReplacedArchive:
    """Examine a compressed archive in a copy; if it is damaged, its first member decides."""
    from occystrap_tar.archive.archive_copy import ReadableArchive
    from occystrap_tar.archive.present_images import other_members, present_images
    try:
        with closing(ReadableArchive(path, settings)) as readable:
            archive = WrittenArchive(readable.path)
            others = other_members(archive)
            return ReplacedArchive(others is not None, others or (), present_images(archive))
    except InvalidImage:
        return ReplacedArchive(_begins_with_content(path))


def _begins_with_content(path: str) -> bool:
    """Return whether the first member of a compressed file is one that only occurs in image archives."""
    from occystrap_core.files import inflate
    from occystrap_core.tar import TAR_BLOCK, TarReader
    from occystrap_tar.archive.present_images import is_content
    buffer, filled = memoryview(bytearray(TAR_BLOCK)), 0
    with open(path, 'rb', buffering=0) as file, suppress(ImageError):
        stream = inflate(file, path)
        while filled < TAR_BLOCK and (count := stream.readinto(buffer[filled:])):
            filled += count
    try:
        first = next(TarReader(iter([buffer[:filled]])).entries(), None)
    except ImageError:
        return False
    return first is not None and is_content(os.fsdecode(first.name))
