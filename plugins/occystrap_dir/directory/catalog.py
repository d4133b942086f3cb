"""catalog.json: the manifest of each image in a directory of several, as {name: {tag: manifest}}."""
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from occystrap_core import InvalidImage, OutputError, Receipt, UsageError
from occystrap_core.oci import Digest, Reference, dump_json, parse_object
from occystrap_dir.directory.manifests import CAP, SINGLE, is_manifest_name, manifest_names, read_manifest
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
    """The images of a directory, found by name and by manifest however many there are."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._manifests: defaultdict[str, dict[tuple[str, str], None]] = defaultdict(dict)
        """The keys of the entries for each manifest, in lower case, since some file systems ignore case."""
        for entry in entries:
            self._add(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, name: str, tag: str) -> Entry | None:
        """Return the entry with a name and a tag."""
        return self._entries.get((name, tag))

    def with_manifest(self, manifest: str) -> list[Entry]:
        """Return the entries that name a manifest."""
        found = [self._entries[key] for key in self._manifests.get(manifest.lower(), ())]
        return [entry for entry in found if entry.manifest == manifest]

    def is_taken(self, manifest: str) -> bool:
        """Return whether an entry names a manifest, ignoring case."""
        return bool(self._manifests.get(manifest.lower()))

    def put(self, entry: Entry) -> None:
        """Add an image, replacing entries with its name and tag, or its manifest."""
        for old in {*self.with_manifest(entry.manifest), self.find(entry.name, entry.tag)} - {None}:
            assert old
            self.remove(old)
        self._add(entry)

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is there."""
        del self._entries[entry.name, entry.tag]
        del self._manifests[entry.manifest.lower()][entry.name, entry.tag]

    def _add(self, entry: Entry) -> None:
        self._entries[entry.name, entry.tag] = entry
        self._manifests[entry.manifest.lower()][entry.name, entry.tag] = None

    def to_json(self) -> bytes:
        """Return the content of the file: a line for each name, sorted."""
        document: dict[str, dict[str, str]] = {}
        for (name, tag), entry in sorted(self._entries.items()):
            document.setdefault(name, {})[tag] = entry.manifest
        lines = [_line(name, tuple(tags.items())) for name, tags in document.items()]
        return ('{\n' + ',\n'.join(lines) + '\n}').encode()  # no newline: what is cut must not still be JSON


@lru_cache(maxsize=1 << 15)
def _line(name: str, tags: tuple[tuple[str, str], ...]) -> str:
    """Return the line of one name; cached because each image of a run writes those of all others again."""
    return f'    {json.dumps(name)}: {json.dumps(dict(tags))}'


def parse_catalog(raw: bytes, what: str) -> Catalog:
    """Return the catalog in `raw`; raises InvalidImage, which names `what`, if it is malformed."""
    entries: list[Entry] = []
    for name, tags in parse_object(raw, what, CAP).items():
        if not isinstance(tags, dict) or not all(map(is_manifest_name, tags.values())):
            raise InvalidImage(f'{what}: {name!r} does not map tags to names of manifests')
        entries += [Entry(name, tag, manifest) for tag, manifest in tags.items()]
    return Catalog(entries)


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


def rebuilt_catalog(root: str) -> tuple[Catalog, str]:
    """Return a catalog of the images in a directory, and a note on what is lost. Raises OSError.

    Names are taken from receipts, and for images without one from the tags in their manifests.
    """
    catalog, unnamed = Catalog(), list[str]()
    for manifest in manifest_names(root):
        receipt = kept_receipt(root, manifest)
        found = list(_attested(receipt, manifest) if receipt else ())
        unnamed += [] if found else [manifest]
        for entry in found:
            catalog.put(entry)
    lost = list[str]()
    for manifest in unnamed:
        tagged = list(_tagged(root, manifest))
        lost += [] if tagged else [manifest]
        for entry in tagged:
            if not catalog.find(entry.name, entry.tag):
                catalog.put(entry)
    tagged_only = [each for each in unnamed if each not in lost]
    details = f'; named by their own tags: {", ".join(tagged_only)}' if tagged_only else ''
    details += f'; left out, as their names are unknown: {", ".join(lost)}' if lost else ''
    return catalog, f'{CATALOG} was rebuilt from receipts, without names given by other programs{details}'


def _tagged(root: str, manifest: str) -> Iterator[Entry]:
    """Yield entries for the tags of the images in a manifest."""
    with suppress(InvalidImage, UsageError):
        for image in read_manifest(root, manifest):
            for tag in image.tags:
                named = Reference.parse(tag).with_default_tag()
                yield Entry(named.repository, named.tag or str(named.digest), manifest)


def _attested(receipt: Receipt, manifest: str) -> Iterator[Entry]:
    """Yield the entry that a receipt was written for."""
    expected = {expectation.digest for expectation in receipt.of_kind('catalog')}
    with suppress(UsageError):
        for entry in _candidates(Reference.parse(receipt.reference), manifest):
            if Digest.of(entry.canonical()) in expected:
                yield entry


def place(catalog: Catalog, reference: Reference, root: str) -> Entry:
    """Return the entry for an image that is added to a directory of several.

    As in 0.4.17, its name is the repository without the host. The host is included only if the directory has an image
    of that name and tag from another host, or from none. An image that is written again keeps its manifest's name.
    """
    entries = [catalog.find(each.name, each.tag) or each for each in _candidates(reference, '')]
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
    return _candidates(reference, '')[0]


def _candidates(reference: Reference, manifest: str) -> list[Entry]:
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
