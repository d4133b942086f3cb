"""index.json: the images of a layout, each an entry; what other programs wrote is preserved."""
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from occystrap_core import InvalidImage
from occystrap_core.files import set_error_rule
from occystrap_core.oci import (
    CONTAINERD_NAME, INDEX_FILE, MANIFEST_CAP, MANIFEST_FIELDS, REF_NAME, Descriptor, Index, dump_json, media_types,
    parse_object,
)
from occystrap_dir.workspace.names import read_document

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
    def empty(cls) -> 'IndexFile':
        """Return the index of a layout without images."""
        return cls.of({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': []}, INDEX_FILE)

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
        return [entry for entry in self.entries if name in names_of(entry)]

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

    def to_json(self) -> bytes:
        """Return the content of the file, without white space, so that every changed bit matters."""
        return dump_json(self.document)


def parse_index(raw: bytes, what: str) -> IndexFile:
    """Return the index.json in `raw`; raises InvalidImage, which names `what`, if it is malformed."""
    with set_error_rule('index'):
        return IndexFile.of(parse_object(raw, what, names=MANIFEST_FIELDS), what)


def read_index(root: str, links: bool = False) -> IndexFile:
    """Return the index.json of a layout; with `links`, for sources only, links are followed.

    Raises InvalidImage, FileNotFoundError, another OSError.
    """
    with set_error_rule('index'):
        return parse_index(read_document(root, INDEX_FILE, MANIFEST_CAP, links), f'{root}/{INDEX_FILE}')


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
    annotations = entry.get('annotations') or {}
    return {annotations[key] for key in _NAMES if annotations.get(key)} or {''}


def canonical(entry: Entry) -> bytes:
    """Return the bytes whose digest a receipt has for an entry: the same however the entry is formatted."""
    return json.dumps(entry, sort_keys=True, separators=(',', ':')).encode()
