"""index.json: the images of a layout, each an entry; what other programs wrote there is kept as it is."""
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
"""A parsed entry, with all fields that it has."""
_NAMES = (REF_NAME, CONTAINERD_NAME)
_FIELDS = {'schemaVersion', 'mediaType', 'artifactType', 'manifests', 'subject', 'annotations'}


@dataclass
class IndexFile:
    """A parsed index.json; `index` is what it means."""

    document: Mapping[str, Any]
    index: Index

    @classmethod
    def of(cls, document: Mapping[str, Any], what: str) -> 'IndexFile':
        """Return the index in a parsed document; raises InvalidImage, naming `what`.

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
        """The entries as they are written, in order."""
        entries: Sequence[Entry] = self.document['manifests']
        return entries

    @property
    def unknown_fields(self) -> list[str]:
        """What no index has by image-spec image-index.md."""
        return sorted(self.document.keys() - _FIELDS)

    def called(self, name: str) -> list[Entry]:
        """Return the entries of this name, with an empty one those without."""
        return [entry for entry in self.entries if name in names_of(entry)]

    def put(self, entry: Entry) -> list[Descriptor]:
        """Put an entry in place of those of its name; return those of them that point elsewhere.

        One without a name takes the place of one for the same manifest alone.
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
        """Return the file: no white space, so that no bit of it is without meaning."""
        return dump_json(self.document)


def parse_index(raw: bytes, what: str) -> IndexFile:
    """Return the index.json in `raw`; raises InvalidImage, naming `what`, when it is none."""
    with set_error_rule('index'):
        return IndexFile.of(parse_object(raw, what, names=MANIFEST_FIELDS), what)


def read_index(root: str, links: bool = False) -> IndexFile:
    """Return the index.json of a layout, of a source even behind links.

    Raises InvalidImage, FileNotFoundError, another OSError.
    """
    with set_error_rule('index'):
        return parse_index(read_document(root, INDEX_FILE, MANIFEST_CAP, links), f'{root}/{INDEX_FILE}')


def named_entry(descriptor: Descriptor, name: str) -> Entry:
    """Return the entry that points at a manifest, under a name if there is one."""
    entry = descriptor.to_json()
    annotations = {key: value for key, value in descriptor.annotations.items() if key not in _NAMES}
    if name:
        annotations[REF_NAME] = name
    return {**entry, 'annotations': annotations} if annotations else {
        key: value for key, value in entry.items() if key != 'annotations'}


def names_of(entry: Entry) -> set[str]:
    """Return the names of an entry; an empty one if it has none."""
    annotations = entry.get('annotations') or {}
    return {annotations[key] for key in _NAMES if annotations.get(key)} or {''}


def canonical(entry: Entry) -> bytes:
    """Return the bytes whose digest stands for an entry in a receipt: the same however the entry is written."""
    return json.dumps(entry, sort_keys=True, separators=(',', ':')).encode()
