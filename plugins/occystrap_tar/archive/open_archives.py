"""Archives that are open: each only once in a run, however many entries of a list name an image in it."""
import os
import stat
import threading
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from functools import cached_property

from occystrap_core import InvalidImage, Settings, UsageError
from occystrap_core.files import set_error_rule
from occystrap_core.oci import INDEX_FILE, LayoutEntries, LayoutReferrers, Offer
from occystrap_tar.archive import docker_archive, oci_archive
from occystrap_tar.archive.archive_copy import ReadableArchive
from occystrap_tar.archive.members import MANIFEST, Archive
from occystrap_tar.archive.two_lists import require_agreement


class OpenArchive:
    """An archive, and what was read from it once for all its images."""

    def __init__(self, readable: ReadableArchive, name: str, version: Hashable) -> None:
        """`version` distinguishes it from another file with that name. Raises InvalidImage."""
        self.version = version
        with set_error_rule('archive'):
            self.readable, self.archive = readable, Archive(readable.path, name)
            if not self.archive.has_end:
                raise InvalidImage(f'{name} is not a tar archive, or cut off: it does not end with two zero blocks')
        self.store = oci_archive.ArchiveStore(self.archive)

    def is_docker(self, chosen: str | None = None) -> bool:
        """Return whether to read it as a docker archive; without a choice it is one if it has a manifest.json, even if
        it has an OCI layout, which Docker 25 and newer add.

        Raises InvalidImage if it has neither that nor an index.json, UsageError if it lacks the chosen format.
        """
        archive = self.archive
        names = {'docker': MANIFEST, 'oci': INDEX_FILE}
        present = [form for form, name in names.items() if archive.has(name)]
        if not present:
            raise InvalidImage(f'{archive.name} is a tar but not an image archive: it has neither manifest.json '
                               'nor index.json', 'manifest-missing')
        if chosen and chosen not in present:
            raise UsageError(f'{archive.name} is a {present[0]} archive, without {names[chosen]}: leave out '
                             f'format={chosen}')
        return (chosen or present[0]) == 'docker'

    @cached_property
    def saved(self) -> Sequence[Offer[docker_archive.ArchivedImage]]:
        """The images in manifest.json; raises InvalidImage, also if index.json lists others."""
        require_agreement(self.archive)
        return docker_archive.offers(self.archive)

    @cached_property
    def independent(self) -> Sequence[Offer[LayoutEntries]]:
        """The images in index.json, without referrers and parts of indexes; raises InvalidImage."""
        return oci_archive.offers(self.archive)

    @cached_property
    def listed(self) -> Sequence[Offer[LayoutEntries]]:
        """All that index.json lists; raises InvalidImage."""
        return oci_archive.offers(self.archive, all_listed=True)

    @cached_property
    def stored(self) -> oci_archive.StoredImages:
        """The images of the archive's layout; raises InvalidImage."""
        return oci_archive.StoredImages(self.archive)

    @cached_property
    def referrers(self) -> LayoutReferrers:
        """The referrers that index.json lists; raises InvalidImage."""
        return oci_archive.referrers(self.archive)


class _Use:
    """An archive that is open, or being opened, and the number of sources that use it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened: OpenArchive | None = None
        self.count = 0


class OpenArchives:
    """The archives of a run; used by several threads."""

    def __init__(self) -> None:
        self._uses: dict[Hashable, _Use] = {}
        self._lock = threading.Lock()

    def take(self, path: str, settings: Settings) -> OpenArchive:
        """Return the archive at a path; it stays open until it has been released as often.

        Raises ImageNotFound, InvalidImage, OutputError.
        """
        version = _version(path)
        with self._lock:
            use = self._uses.setdefault(version, _Use())
            use.count += 1
        try:
            with use.lock:
                use.opened = use.opened or _open(path, settings, version)
                return use.opened
        except BaseException:
            self._drop(version)
            raise

    def release(self, opened: OpenArchive) -> None:
        """Close an archive after its last use."""
        self._drop(opened.version)

    def _drop(self, version: Hashable) -> None:
        with self._lock:
            use = self._uses[version]
            use.count -= 1
            if use.count:
                return
            del self._uses[version]
        if use.opened:
            use.opened.readable.close()


def _open(path: str, settings: Settings, version: Hashable) -> OpenArchive:
    with ExitStack() as if_failed:
        readable = ReadableArchive(path, settings)
        if_failed.callback(readable.close)
        opened = OpenArchive(readable, path, version)
        if_failed.pop_all()
        return opened


def _version(path: str) -> Hashable:
    """Return a value that differs if the file at a path is replaced or changed; a pipe always counts as the same."""
    try:
        found = os.stat(path)
    except OSError:
        return path
    changes = (found.st_size, found.st_mtime_ns, found.st_ctime_ns) if stat.S_ISREG(found.st_mode) else ()
    return path, found.st_dev, found.st_ino, *changes
