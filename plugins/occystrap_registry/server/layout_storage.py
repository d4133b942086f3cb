"""A read-only registry of the images in an image layout, such as a mirror; nothing is copied."""
import os
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from occystrap_core import InvalidImage, OutputError
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    INDEX_FILE, LAYOUT_FILE, MANIFEST_CAP, Descriptor, Digest, Index, IndexFile, LayoutReferrers, Manifest, Reference,
    blob_name, layout_offers, parse_manifest_or_index, require_version, select_entry,
)
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage_files import open_regular, read_file

_NAMELESS = Reference('untagged')
"""The reference for a name that is not valid as one."""
_Stamp = tuple[int, int, int]


class _Catalog(NamedTuple):
    """The content of an index.json in the form of a registry."""

    stamp: _Stamp
    tags: Mapping[str, Mapping[str, Digest]]
    """The digests of the tags of each repository."""
    full_names: Mapping[str, Mapping[str, Digest]]
    """The same for repository names with the host, if there is one."""
    made: Mapping[Digest, Index]
    """Indexes made for images that the layout lists platform by platform."""
    referrers: LayoutReferrers


class LayoutStorage(Contents):
    """Serves the images of a layout under their names, without the host unless two hosts have the same repository.

    index.json is read again after it has changed. Each repository has all blobs of the layout.
    """

    def __init__(self, root: Path) -> None:
        """Raises OutputError if there is no layout, InvalidImage if it is malformed."""
        self._root, self.directory = root, str(root)
        self._reading = threading.Lock()
        try:
            require_version(self._file(LAYOUT_FILE), str(root))
            self._known = self._read(self._stamp())
        except OSError as error:
            raise OutputError(f'{root} is not a readable image layout: {error.strerror}: give a directory with '
                              'oci-layout and index.json') from None

    def try_out(self) -> None:
        """Raise OSError if the layout cannot be read."""
        self._stamp()

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Return the size in bytes of a blob; raises Problem 404."""
        with self.open_blob(repository, digest) as file:
            return os.fstat(file.fileno()).st_size

    def open_blob(self, repository: str, digest: Digest) -> BinaryIO:
        """Return a blob, open for reading; raises Problem 404 if it is missing or not a regular file."""
        self._repository(repository)
        try:
            return open(open_regular(self._root / blob_name(digest)), 'rb', buffering=0)
        except OSError:
            raise Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest}') from None

    def manifest(self, repository: str, reference: Digest | str) -> tuple[Digest, str, bytes]:
        """Return digest, media type and bytes by digest or tag; raises Problem 404 MANIFEST_UNKNOWN."""
        tags = self._repository(repository)
        digest = reference if isinstance(reference, Digest) else tags.get(reference)
        try:
            if digest is None:
                raise FileNotFoundError
            found = self._document(digest)
        except (FileNotFoundError, InvalidImage):
            raise Problem(404, 'MANIFEST_UNKNOWN', f'{repository} has no manifest {reference}') from None
        return digest, found.media_type, found.raw

    def referrers(self, repository: str, subject: Digest) -> list[Digest]:
        """Return the manifests of the layout that refer to another."""
        self._repository(repository)
        try:
            return sorted(each.digest for each in self._current().referrers.of(subject)[0])
        except ImageError as error:
            raise Problem(500, 'UNKNOWN', str(error)) from None

    def tags(self, repository: str) -> list[str]:
        """Return a repository's tags in order; raises Problem 404 NAME_UNKNOWN."""
        return sorted(self._repository(repository))

    def repositories(self) -> Iterable[str]:
        """Return the names of all repositories."""
        return self._current().tags

    def _repository(self, name: str) -> Mapping[str, Digest]:
        known = self._current()
        tags = known.tags.get(name, known.full_names.get(name))
        if tags is None:
            raise Problem(404, 'NAME_UNKNOWN', f'there is no repository {name}')
        return tags

    def _document(self, digest: Digest) -> Manifest | Index:
        """Return a manifest; raises FileNotFoundError, InvalidImage, Problem 500 for a damaged one."""
        if made := self._current().made.get(digest):
            return made
        raw = self._file(blob_name(digest))
        if Digest.of(raw, digest.algorithm) != digest:
            raise Problem(500, 'UNKNOWN', f'the manifest {digest} is damaged: occystrap verify shows what else is')
        return parse_manifest_or_index(raw, None, digest.algorithm)

    def _file(self, name: str) -> bytes:
        """Return a document of the layout; raises InvalidImage for one that is too large, FileNotFoundError, OSError.
        """
        raw = read_file(self._root / name, MANIFEST_CAP + 1)
        if len(raw) > MANIFEST_CAP:
            raise InvalidImage(f'{self._root}/{name} has more than the {MANIFEST_CAP} bytes allowed')
        return raw

    def _current(self) -> _Catalog:
        with self._reading:
            if (stamp := self._stamp()) != self._known.stamp:
                try:
                    self._known = self._read(stamp)
                except InvalidImage:
                    raise Problem(500, 'UNKNOWN', f'{INDEX_FILE} of the layout is damaged, or too large: occystrap '
                                  'verify shows what is wrong') from None
            return self._known

    def _stamp(self) -> _Stamp:
        found = os.stat(self._root / INDEX_FILE)
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self, stamp: _Stamp) -> _Catalog:
        entries = IndexFile.parse(self._file(INDEX_FILE), f'{self._root}/{INDEX_FILE}').manifests
        unnamed = Reference(re.sub('[^a-z0-9]+', '-', self._root.name.lower()).strip('-') or 'images')
        named, made = list[tuple[Reference, Digest]](), dict[Digest, Index]()
        for offer in layout_offers(entries, unnamed):
            chosen = select_entry(offer.image, whole=True)
            if isinstance(chosen, Index):
                made[chosen.digest] = chosen
            references = offer.names.values() or [unnamed]
            named += [(unnamed if each == _NAMELESS else each, chosen.digest) for each in references]
        return _Catalog(stamp, *_repositories(named), made, LayoutReferrers(self._listed, entries, str(self._root)))

    def _listed(self, entry: Descriptor) -> Manifest | Index:
        try:
            return self._document(entry.digest)
        except OSError as error:
            raise InvalidImage(f'{entry.digest}: {error.strerror}') from None


_Tags = dict[str, dict[str, Digest]]


def _repositories(named: Iterable[tuple[Reference, Digest]]) -> tuple[_Tags, _Tags]:
    """Return the tags by the shortest unambiguous names of repositories, and by names with the host."""
    hosts: dict[str, set[str]] = {}
    for reference, _ in named:
        hosts.setdefault(reference.repository, set()).add(reference.host)
    tags, full = _Tags(), _Tags()
    for reference, digest in named:
        listed = tags.setdefault(reference.repository if len(hosts[reference.repository]) == 1 else reference.name, {})
        for found in (listed, full.setdefault(reference.name, {})):
            if reference.tag:
                found[reference.tag] = digest
    return tags, full
