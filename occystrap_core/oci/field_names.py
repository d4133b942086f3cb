"""The names of fields in JSON documents, matched as Go's encoding/json does: regardless of case.

Of several fields that differ only in case, programs in Go take the last, programs in other languages the one spelled as
in the specification. They would see different documents under one digest, so such documents are refused.
"""
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

AMBIGUOUS = 'document-ambiguous'
"""The rule that such a document breaks, in whichever part of an image it is."""

_FREE = frozenset(('annotations', 'exposedports', 'labels', 'layersources', 'volumes'))
"""Fields whose values are objects with arbitrary, case-sensitive names."""
_SURROGATE = '[\ud800-\udfff]'


def fold(name: str) -> str:
    """Return the same string for all names that Go considers equal: Unicode's simple case folding."""
    return name.lower() if name.isascii() else ''.join(map(_folded, decoded(name)))


def decoded(name: str) -> str:
    """Return a name as Go decodes it: every half of a surrogate pair becomes the same character."""
    return name if name.isascii() else re.sub(_SURROGATE, '\ufffd', name)


def _folded(letter: str) -> str:
    for folded in (letter.casefold(), letter.lower()):
        if len(folded) == 1:
            return folded
    return letter


class FieldNames(NamedTuple):
    """The fields of a kind of document, by their folded names; None: all its names are arbitrary.

    With `free_top` only those of the outermost object are arbitrary.
    """

    known: Mapping[str, str] | None
    free_top: bool = False

    @classmethod
    def of(cls, names: str, free_top: bool = False) -> 'FieldNames':
        """Return the field names in a text, separated by spaces."""
        return cls({fold(name): name for name in names.split()}, free_top)

    def __or__(self, other: 'FieldNames') -> 'FieldNames':
        return FieldNames({**(self.known or {}), **(other.known or {})})


EXACT = FieldNames(None)
"""For documents with arbitrary names: only a repeated name is refused."""
STRICT = FieldNames({})
"""For documents that only occystrap writes and reads: a field in another case is unknown."""
MANIFEST_FIELDS = FieldNames.of(
    'schemaVersion mediaType artifactType config layers manifests fsLayers subject annotations digest size urls data '
    'platform architecture os os.version os.features variant')
CONFIG_FIELDS = FieldNames.of(
    'created author architecture os os.version os.features variant config rootfs history type diff_ids created_by '
    'comment empty_layer container container_config docker_version id parent User ExposedPorts Env Entrypoint Cmd '
    'Volumes WorkingDir Labels StopSignal ArgsEscaped Healthcheck Test Interval Timeout StartPeriod StartInterval '
    'Retries OnBuild Shell StopTimeout Hostname Domainname')
LAYOUT_FIELDS = FieldNames.of('imageLayoutVersion')
ARCHIVE_FIELDS = FieldNames.of('Config RepoTags Layers Parent LayerSources ImageName')
"""For the manifest.json of a docker archive."""


class NameReader:
    """Makes the objects of one document for `json.loads`, which passes the innermost objects first.

    Each object is first read as one with known fields. If the field that holds it turns out to have arbitrary names, it
    is replaced by the object as written.
    """

    def __init__(self, names: FieldNames) -> None:
        self._known, self._free_top = names.known, names.free_top
        self._twice = ''
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._written: dict[int, dict[str, Any]] = {}
        self._alike: dict[int, str] = {}
        self._kept: list[dict[str, Any]] = []

    @property
    def ambiguous(self) -> str:
        """What is ambiguous; empty if nothing is."""
        return self._twice or next(iter(self._alike.values()), '')

    def whole(self, read: object) -> object:
        """Return the document, given the result of `json.loads`."""
        if not self._free_top:
            return read
        self._alike.pop(id(read), None)
        return self._written.get(id(read), read)

    def object(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object of these names and values."""
        written = dict(pairs)
        names = tuple(written)
        if len(names) < len(pairs):
            self._twice = self._twice or _repeated(decoded(name) for name, _ in pairs)
        shape = self._shapes.get(names) or self._shape(names)
        if shape.usual and not self._written:
            return written
        return self._read(written, shape)

    def _shape(self, names: tuple[str, ...]) -> '_Shape':
        """Return the shape of objects with these names; a document has few different ones."""
        shape = self._shapes[names] = _Shape.of(names, self._known)
        self._twice = self._twice or shape.twice
        return shape

    def _read(self, written: dict[str, Any], shape: '_Shape') -> dict[str, Any]:
        self._free(written)
        if shape.usual:
            return written
        read = dict(zip(shape.read, written.values(), strict=True))
        self._written[id(read)] = written
        self._kept.append(read)  # while it is alive nothing else has its id
        if shape.alike:
            self._alike[id(read)] = shape.alike
        return read

    def _free(self, written: dict[str, Any]) -> None:
        """Replace objects by what was written, in fields with arbitrary names."""
        for name, each in written.items():
            if id(each) in self._written and fold(name) in _FREE:
                written[name] = self._written.pop(id(each))
                self._alike.pop(id(each), None)


class _Shape(NamedTuple):
    """The names of an object: how they are read, and which are ambiguous."""

    usual: bool
    read: Sequence[str]
    alike: str
    twice: str

    @classmethod
    def of(cls, names: Sequence[str], known: Mapping[str, str] | None) -> '_Shape':
        twice = '' if ''.join(names).isascii() else _repeated(map(decoded, names))
        if known is None:
            return cls(True, names, '', twice)
        folded = [fold(name) for name in names]
        read = [known.get(key, name) for key, name in zip(folded, names)]
        alike = _alike(names) if len(set(folded)) < len(folded) else ''
        return cls(not alike and read == list(names), read, alike, twice)


def _repeated(names: Iterable[str]) -> str:
    """Return a name that is repeated; empty if none is."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return f'{_quoted(name)} appears twice'
        seen.add(name)
    return ''


def _alike(names: Iterable[str]) -> str:
    seen: dict[str, str] = {}
    for name in names:
        if (first := seen.setdefault(fold(name), name)) != name:
            return f'{_quoted(first)} and {_quoted(name)} are the same name to programs in Go'
    raise AssertionError('no two names are alike')


def _quoted(name: str) -> str:
    return ascii(name[:60])
