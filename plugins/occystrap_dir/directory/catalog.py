"""catalog.json: the manifest of each image in a directory of several, as {name: {tag: manifest}}."""
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from occystrap_core import InvalidImage, OutputError, UsageError
from occystrap_core.files import ParsedContents
from occystrap_core.oci import Reference, dump_json, parse_object
from occystrap_dir.directory.manifests import CAP, SINGLE, is_manifest_name, manifest_names
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.known_file import KnownFile
from occystrap_dir.workspace.names import read_document
from occystrap_dir.workspace.receipts import kept_receipt

CATALOG = 'catalog.json'
_LONGEST = 200


class Entry(NamedTuple):
    """One image of a catalog."""

    name: str
    tag: str
    manifest: str

    def canonical(self) -> bytes:
        """Return the bytes whose digest a receipt has for this entry: those of a catalog with this entry alone."""
        return dump_json({self.name: {self.tag: self.manifest}})

    def __str__(self) -> str:
        return f'{self.name}@{self.tag}' if ':' in self.tag else f'{self.name}:{self.tag}'


class Catalog:
    """The images of a directory, found by name and by manifest. One can be added to thousands, and all of them written,
    without looking at each other one."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._names: dict[str, dict[str, str]] = {}
        """The manifest of each tag of each name; the inner ones are shared with copies, and so replaced as a whole."""
        self._lines: dict[str, str] = {}
        """What the file has for a name, as far as it was written before."""
        self._manifests: dict[str, tuple[Entry, ...]] = {}
        """The entries of each manifest, in lower case, since some file systems ignore case."""
        for entry in entries:
            self._add(entry)

    def __iter__(self) -> Iterator[Entry]:
        return (Entry(name, tag, manifest) for name, tags in self._names.items() for tag, manifest in tags.items())

    def copy(self) -> 'Catalog':
        """Return an equal catalog, which can be changed."""
        other = Catalog()
        other._names, other._lines, other._manifests = self._names.copy(), self._lines.copy(), self._manifests.copy()
        return other

    def find(self, name: str, tag: str) -> Entry | None:
        """Return the entry with a name and a tag."""
        manifest = self._names.get(name, {}).get(tag)
        return None if manifest is None else Entry(name, tag, manifest)

    def with_manifest(self, manifest: str) -> list[Entry]:
        """Return the entries that name a manifest."""
        return [entry for entry in self._manifests.get(manifest.lower(), ()) if entry.manifest == manifest]

    def is_taken(self, manifest: str) -> bool:
        """Return whether an entry names a manifest, ignoring case."""
        return manifest.lower() in self._manifests

    def put(self, entry: Entry) -> None:
        """Add an image, replacing entries with its name and tag, or its manifest."""
        for old in {*self.with_manifest(entry.manifest), self.find(entry.name, entry.tag)} - {None}:
            assert old
            self.remove(old)
        self._add(entry)

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is there."""
        self._set(entry.name, {tag: each for tag, each in self._names[entry.name].items() if tag != entry.tag})
        key = entry.manifest.lower()
        self._manifests[key] = tuple(each for each in self._manifests[key] if each != entry)
        if not self._manifests[key]:
            del self._manifests[key]

    def _add(self, entry: Entry) -> None:
        if old := self.find(entry.name, entry.tag):
            self.remove(old)
        self._set(entry.name, {**self._names.get(entry.name, {}), entry.tag: entry.manifest})
        key = entry.manifest.lower()
        self._manifests[key] = (*self._manifests.get(key, ()), entry)

    def _set(self, name: str, tags: dict[str, str]) -> None:
        self._lines.pop(name, None)
        if tags:
            self._names[name] = tags
        else:
            del self._names[name]

    def to_json(self) -> bytes:
        """Return the content of the file: a line for each name, sorted."""
        names = sorted(self._names)
        for name in names if len(self._lines) < len(names) else ():
            if name not in self._lines:
                self._lines[name] = f'    {json.dumps(name)}: {json.dumps(dict(sorted(self._names[name].items())))}'
        raw = ('{\n' + ',\n'.join(map(self._lines.__getitem__, names)) + '\n}').encode()
        _PARSED.keep(raw, self.copy())  # no newline at the end: what is cut must not still be JSON
        return raw


_PARSED: ParsedContents[Catalog] = ParsedContents()
"""Each image of a run reads the file again, often just after another one has been added."""


def parse_catalog(raw: bytes, what: str) -> Catalog:
    """Return the catalog in `raw`, which must not be changed; raises InvalidImage, which names `what`, if it is
    malformed."""
    if known := _PARSED.get(raw):
        return known
    entries: list[Entry] = []
    for name, tags in parse_object(raw, what, CAP).items():
        if not isinstance(tags, dict) or not all(map(is_manifest_name, tags.values())):
            raise InvalidImage(f'{what}: {name!r} does not map tags to names of manifests')
        entries += [Entry(name, tag, manifest) for tag, manifest in tags.items()]
    found = Catalog(entries)
    _PARSED.keep(raw, found)
    return found


_CATALOGS = KnownFile(CATALOG, CAP, parse_catalog)


def known_catalog(root: str) -> Catalog:
    """Return the catalog of a directory, which must not be changed; raises as `read_catalog` does, and
    FileNotFoundError."""
    return _CATALOGS.read(root)


def read_catalog(root: str, links: bool = False) -> Catalog:
    """Return the catalog of a directory, empty if it has none; with `links`, for sources only, links are followed.

    Raises InvalidImage if it is damaged, and OSError.
    """
    try:
        if links:
            return parse_catalog(read_document(root, CATALOG, CAP, links), f'{root}/{CATALOG}')
        return known_catalog(root)
    except FileNotFoundError:
        return Catalog()


def is_missing(root: str) -> bool:
    """Return whether a directory has several images but no catalog; raises OSError."""
    return not Beneath(root).status(CATALOG) and manifest_names(root) not in ([], [SINGLE])


def place(catalog: Catalog, reference: Reference, root: str) -> Entry:
    """Return the entry for an image that is added to a directory of several.

    As in 0.4.17, its name is the repository without the host. The host is included only if the directory has an image
    of that name and tag from another host, or from none. An image that is written again keeps its manifest's name.
    """
    entries = [catalog.find(each.name, each.tag) or each for each in candidates(reference, '')]
    chosen = next((each for each in entries if not _is_from_another_host(each, reference, root)), entries[-1])
    if re.fullmatch(r'manifest-.+\.json', chosen.manifest):
        return chosen
    return Entry(chosen.name, chosen.tag, _free_name(catalog, chosen))


def require_same_origin(entry: Entry, reference: Reference, root: str) -> None:
    """Raise OutputError if the image of an entry came from a host, and the one that would replace it from none.

    `place` keeps images of different hosts apart, so an image only replaces one from the same host.
    """
    if _is_from_another_host(entry, reference, root) and (receipt := kept_receipt(root, entry.manifest)):
        raise OutputError(f'{root}: {reference}, whose name has no registry, would replace {receipt.reference}, listed '
                          f'there as {entry}: choose another directory, or use --force to replace it')


def named_as(reference: Reference) -> Entry:
    """Return the entry of an image, without a manifest, as it is if no image of another host has the same name and tag.
    """
    return candidates(reference, '')[0]


def candidates(reference: Reference, manifest: str) -> list[Entry]:
    """Return the entries that an image may have: without its host, and with it."""
    named = reference.with_default_tag()
    tag = named.tag or str(named.digest)
    return [Entry(name, tag, manifest) for name in dict.fromkeys([named.repository, named.name])]


def _is_from_another_host(entry: Entry, reference: Reference, root: str) -> bool:
    receipt = kept_receipt(root, entry.manifest) if entry.manifest else None
    if receipt is None:
        return False
    try:
        there = Reference.parse(receipt.reference).host
    except UsageError:
        return False
    return there != reference.host


def _free_name(catalog: Catalog, entry: Entry) -> str:
    """Return manifest-NAME-TAG.json, with characters replaced that file names cannot have; with a hash if it is taken.
    """
    stem = re.sub(r'[^A-Za-z0-9._-]', '_', f'{entry.name}-{entry.tag}')
    plain = f'manifest-{stem}.json'
    if not catalog.is_taken(plain) and len(stem) <= _LONGEST:
        return plain
    return f'manifest-{stem[:_LONGEST]}~{hashlib.sha256(str(entry).encode()).hexdigest()[:12]}.json'
