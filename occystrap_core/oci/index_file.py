"""index.json: the images of a layout, each an entry; what other programs wrote is preserved."""
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from occystrap_core.errors import InvalidImage, set_error_rule
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import ParsedContents, dump_json, parse_object
from occystrap_core.oci.field_names import MANIFEST_FIELDS
from occystrap_core.oci.layout import INDEX_FILE, Entry, canonical, entry_name, names_of
from occystrap_core.oci.manifest import Index
from occystrap_core.oci.named_images import parse_name
from occystrap_core.oci import media_types

_FIELDS = {'schemaVersion', 'mediaType', 'artifactType', 'manifests', 'subject', 'annotations'}


class _Row(NamedTuple):
    """An entry, parsed and as text."""

    entry: Entry
    descriptor: Descriptor
    names: frozenset[str]
    text: bytes

    @property
    def name(self) -> str:
        """The one that readers take, empty without one."""
        return entry_name(self.descriptor)

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return the row of an entry; raises InvalidImage if it is malformed."""
        return cls(entry, Descriptor.from_json(entry, 'the index'), frozenset(names_of(entry)), dump_json(entry))


class _Rows:
    """The rows of an index in order, found by name and by digest however many there are."""

    def __init__(self, rows: Iterable[_Row]) -> None:
        self._rows: dict[int, _Row] = {}
        self._names: dict[str, tuple[int, ...]] = {}
        self._digests: dict[str, tuple[int, ...]] = {}
        self._next = 0
        for row in rows:
            self._add(self._next, row)

    def __iter__(self) -> Iterator[_Row]:
        return iter(self._rows.values())

    def named(self, name: str) -> list[_Row]:
        """Return the rows with a name, an empty one for those without."""
        return [self._rows[place] for place in sorted(self._names.get(name, ()))]

    def at(self, locator: str) -> list[_Row]:
        """Return the rows with a name or a digest."""
        places = {*(self._names.get(locator, ()) if locator else ()), *self._digests.get(locator, ())}
        return [self._rows[place] for place in sorted(places)]

    def put(self, row: _Row) -> list[_Row]:
        """Insert a row in the place of the first row that it replaces (with its name or, without a name, with its
        digest).

        Return the replaced rows.
        """
        name, = row.names
        places = sorted(self._names.get(name, ()) if name else
                        set(self._names.get('', ())) & set(self._digests.get(row.entry['digest'], ())))
        old = [self._rows[place] for place in places]
        for place, each in zip(places, old):
            self._unlist(place, each)
        for place in places[1:]:
            del self._rows[place]
        self._add(places[0] if places else self._next, row)
        return old

    def _add(self, place: int, row: _Row) -> None:
        self._rows[place] = row  # an existing key keeps its position
        self._next = max(self._next, place + 1)
        for name in row.names:
            self._names[name] = (*self._names.get(name, ()), place)
        digest = row.entry['digest']
        self._digests[digest] = (*self._digests.get(digest, ()), place)

    def _unlist(self, place: int, row: _Row) -> None:
        for places, key in [*((self._names, name) for name in row.names), (self._digests, row.entry['digest'])]:
            places[key] = tuple(each for each in places[key] if each != place)


class IndexFile:
    """A parsed index.json. An image can be added to thousands without parsing or writing the others again."""

    _parsed: ClassVar[ParsedContents['IndexFile']] = ParsedContents()
    """Kept because each image of a run reads the file several times."""

    def __init__(self, fields: Mapping[str, Any], rows: '_Rows') -> None:
        """`fields` are those of the file, in order; the rows replace the value of `manifests`."""
        self._fields, self._rows, self._is_shared = fields, rows, False

    def copy(self) -> 'IndexFile':
        """Return an equal index to which entries can be added; rows are copied only when the first one is added."""
        other = type(self)(self._fields, self._rows)
        self._is_shared = other._is_shared = True
        return other

    @classmethod
    def of(cls, document: Mapping[str, Any], what: str) -> Self:
        """Return the index in a parsed document; raises InvalidImage, which names `what`.

        Programs in Go write the list of an empty layout as null.
        """
        filled = {**document, 'manifests': []} if document.get('manifests', ()) is None else document
        try:
            Index.parse(dump_json(filled))
            return cls(filled, _Rows(_Row.of(entry) for entry in filled['manifests']))
        except InvalidImage as error:
            raise error.renamed(f'{what}: {error}') from None

    @classmethod
    def parse(cls, raw: bytes, what: str) -> 'IndexFile':
        """Return the index.json in `raw`; raises InvalidImage, which names `what`, if it is malformed."""
        if known := cls._parsed.get(raw):
            return known.copy()
        with set_error_rule('index'):
            found = cls.of(parse_object(raw, what, names=MANIFEST_FIELDS), what)
        cls._parsed.keep(raw, found.copy())
        return found

    @classmethod
    def empty(cls) -> Self:
        """Return the index of a layout without images."""
        return cls.listing(())

    @classmethod
    def listing(cls, entries: Iterable[Entry]) -> Self:
        """Return a new index.json with these entries; of several that `put` would let replace each other, the last."""
        last: dict[tuple[str, str], Entry] = {}
        for entry in entries:
            name, = names_of(entry)
            last[name, '' if name else entry['digest']] = entry
        return cls.of({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': [*last.values()]},
                      INDEX_FILE)

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries as in the file, in order."""
        return [row.entry for row in self._rows]

    @property
    def manifests(self) -> Sequence[Descriptor]:
        """The descriptors of the entries."""
        return [row.descriptor for row in self._rows]

    @property
    def unknown_fields(self) -> list[str]:
        """The fields that image-spec image-index.md does not define."""
        return sorted(self._fields.keys() - _FIELDS)

    def named(self, name: str) -> list[Entry]:
        """Return the entries with this name; with an empty one, those without a name."""
        return [row.entry for row in self._rows.named(name)]

    def named_manifests(self, name: str) -> list[Descriptor]:
        """Return the descriptors of the entries with this name."""
        return [row.descriptor for row in self._rows.named(name)]

    def is_same(self, other: 'IndexFile') -> bool:
        """Return whether another file says the same, however it is formatted."""
        mine, theirs = ({**each._fields, 'manifests': each.entries} for each in (self, other))
        return mine == theirs

    def put(self, entry: Entry) -> list[Descriptor]:
        """Add an entry, replacing those with its name; return replaced ones that have other manifests.

        An entry without a name replaces only one without a name for the same manifest.
        """
        if self._is_shared:
            self._rows, self._is_shared = _Rows(self._rows), False
        old = self._rows.put(_Row.of(entry))
        return [row.descriptor for row in old if row.entry['digest'] != entry['digest']]

    def drop(self, digests: Collection[Digest]) -> list[Descriptor]:
        """Remove the entries whose canonical bytes have these digests; return their descriptors."""
        rows = [(row, Digest.of(canonical(row.entry)) in digests) for row in self._rows]
        self._rows, self._is_shared = _Rows(row for row, goes in rows if not goes), False
        return [row.descriptor for row, goes in rows if goes]

    def find(self, locator: str, digest: Digest) -> tuple[bytes | None, str]:
        """Return the canonical bytes, with this digest, of the entry at a locator, and what is wrong, in words.

        The bytes are None if there is no such entry; the words are empty if it is the only one of its name.
        """
        there = [row.entry for row in self._rows.at(locator)]
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

    def find_manifest(self, name: str, digest: Digest, exact: bool, other_name: str = '',
                      ) -> tuple[Descriptor | None, str]:
        """Return the entry of a manifest, and what is wrong, in words, if there is none with this name.

        Unless the name must be `exact`, the entry's name may have another host, or be the tag alone. An entry without a
        name is found by its digest; so is any entry if this name has no tag. The image may have `other_name` instead.
        """
        rows = self._rows.named(name) if exact else self._rows_alike(name, digest)
        if not rows and other_name:
            rows = self._rows_alike(other_name, digest)
        if not rows:
            listed = [row.name for row in self._rows.at(digest) if row.name and not exact]
            return None, (f'is in index.json under another name, {listed[0]}: if that is meant, add '
                          f'?tag={listed[0]} to --at' if listed else 'is not listed in index.json')
        others = [row.descriptor.digest for row in rows if row.descriptor.digest != digest]
        return rows[0].descriptor, f'is in index.json as {others[0]}, expected {digest}' if others else ''

    def _rows_alike(self, name: str, digest: Digest) -> list[_Row]:
        """Return the rows that readers of the index would take for the image with this name."""
        named = parse_name(name)
        same = [row for row in self._rows.named(name) if row.name == name]
        if same or not named.tag:
            return same or self._rows.at(digest)
        alike = [row for row in self._rows if row.name and parse_name(row.name).is_same_without_host(named)]
        unnamed = [row for row in self._rows.at(digest) if row.name in ('', named.tag)]
        return alike or unnamed or self._rows.named(named.tag)

    def to_json(self) -> bytes:
        """Return the content of the file, without white space, so that every changed bit is detected."""
        rows = b'[%s]' % b','.join(row.text for row in self._rows)
        fields = ((dump_json({name: value})[1:-1] if name != 'manifests' else b'"manifests":' + rows)
                  for name, value in self._fields.items())
        raw = b'{%s}' % b','.join(fields)
        self._parsed.keep(raw, self.copy())
        return raw
