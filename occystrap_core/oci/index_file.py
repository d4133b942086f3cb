"""index.json: the images of a layout, each an entry; what other programs wrote is preserved."""
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from occystrap_core.errors import InvalidImage, set_error_rule
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import dump_json, parse_object
from occystrap_core.oci.field_names import MANIFEST_FIELDS
from occystrap_core.oci.layout import CONTAINERD_NAME, INDEX_FILE, REF_NAME
from occystrap_core.oci.manifest import Index
from occystrap_core.oci import media_types

Entry = Mapping[str, Any]
"""A parsed entry, with all its fields."""
_NAMES = (REF_NAME, CONTAINERD_NAME)
_FIELDS = {'schemaVersion', 'mediaType', 'artifactType', 'manifests', 'subject', 'annotations'}


@dataclass(eq=False, repr=False)
class IndexFile:
    """A parsed index.json: the JSON document, and the index that it describes."""

    document: Mapping[str, Any]
    index: Index

    @classmethod
    def of(cls, document: Mapping[str, Any], what: str) -> 'IndexFile':
        """Return the index in a parsed document; raises InvalidImage, which names `what`.

        Programs in Go write the list of an empty layout as null.
        """
        filled = {**document, 'manifests': []} if document.get('manifests', ()) is None else document
        try:
            return cls(filled, Index.parse(dump_json(filled)))
        except InvalidImage as error:
            raise error.renamed(f'{what}: {error}') from None

    @classmethod
    def parse(cls, raw: bytes, what: str) -> 'IndexFile':
        """Return the index.json in `raw`; raises InvalidImage, which names `what`, if it is malformed.

        The same bytes are parsed once, since every image of a layout is looked up in its index.json.
        """
        parsed = _parsed(raw, what)
        return cls(parsed.document, parsed.index)

    @classmethod
    def empty(cls) -> 'IndexFile':
        """Return the index of a layout without images."""
        return cls.listing(())

    @classmethod
    def listing(cls, entries: Iterable[Entry]) -> 'IndexFile':
        """Return a new index.json of these entries; of several that `put` would replace by each other, the last."""
        last: dict[tuple[str, str], Entry] = {}
        for entry in entries:
            name, = names_of(entry)
            last[name, '' if name else entry['digest']] = entry
        return cls.of({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': [*last.values()]},
                      INDEX_FILE)

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries as in the file, in order."""
        entries: Sequence[Entry] = self.document['manifests']
        return entries

    @property
    def unknown_fields(self) -> list[str]:
        """Fields that image-spec image-index.md does not define."""
        return sorted(self.document.keys() - _FIELDS)

    def named(self, name: str) -> list[Entry]:
        """Return the entries with this name; with an empty one, those without a name."""
        return [entry for entry in self.entries if name in _names(entry)]

    def put(self, entry: Entry) -> list[Descriptor]:
        """Add an entry, replacing those with its name; return replaced ones that have other manifests.

        An entry without a name replaces only one without a name for the same manifest.
        """
        name, = names_of(entry)
        places = [place for place, each in enumerate(self.entries) if name in names_of(each)
                  and (name or each['digest'] == entry['digest'])]
        replaced = [self.index.manifests[place] for place in places if self.entries[place]['digest'] != entry['digest']]
        rest = [each for place, each in enumerate(self.entries) if place not in places]
        first = min(places, default=len(rest))
        changed = IndexFile.of({**self.document, 'manifests': [*rest[:first], entry, *rest[first:]]}, INDEX_FILE)
        self.document, self.index = changed.document, changed.index
        return replaced

    def find(self, locator: str, digest: Digest) -> tuple[bytes | None, str]:
        """Return the canonical bytes of the entry at a locator that have this digest, and what is wrong, in words.

        The bytes are None if there is no such entry; the words are empty if there is exactly one of its name.
        """
        there = [entry for entry in self.entries if entry['digest'] == locator or locator in _names(entry)]
        found = [entry for entry in there if Digest.of(canonical(entry)) == digest]
        if not found:
            return None, ('is not listed in index.json' if not there else
                          f'is in index.json as {there[0]["digest"]}, with another entry than was written')
        if self.unknown_fields:
            return canonical(found[0]), f'index.json has the unknown field {self.unknown_fields[0]!r}'
        name, = names_of(found[0])
        several = name and (len(found) > 1 or any(entry not in found for entry in self.named(name)))
        return canonical(found[0]), ('index.json has several entries of this name, expected one: '
                                     f'{found[0]["digest"]}' if several else '')

    def to_json(self) -> bytes:
        """Return the content of the file, without white space, so that every changed bit matters."""
        return dump_json(self.document)


def named_entry(descriptor: Descriptor, name: str) -> Entry:
    """Return the entry for a manifest, with a name unless that is empty."""
    entry = descriptor.to_json()
    annotations = {key: value for key, value in descriptor.annotations.items() if key not in _NAMES}
    if name:
        annotations[REF_NAME] = name
    return {**entry, 'annotations': annotations} if annotations else {
        key: value for key, value in entry.items() if key != 'annotations'}


def names_of(entry: Entry) -> set[str]:
    """Return the names of an entry, an empty one if it has none."""
    return {*_names(entry)}


def _names(entry: Entry) -> tuple[str, ...]:
    annotations = entry.get('annotations') or {}
    return tuple(annotations[key] for key in _NAMES if annotations.get(key)) or ('',)


@lru_cache(maxsize=2)
def _parsed(raw: bytes, what: str) -> IndexFile:
    with set_error_rule('index'):
        return IndexFile.of(parse_object(raw, what, names=MANIFEST_FIELDS), what)


def canonical(entry: Entry) -> bytes:
    """Return the bytes whose digest a receipt has for an entry: the same however the entry is formatted."""
    return json.dumps(entry, sort_keys=True, separators=(',', ':')).encode()
