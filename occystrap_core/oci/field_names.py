"""The names of fields in JSON documents, as Go's encoding/json reads them: whatever the case of their letters.

Programs in Go take the last of several fields that differ only in case, programs in other languages the one that is
written as the specification has it: what the two see differs, under one digest. So that is refused.
"""
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

AMBIGUOUS = 'document-ambiguous'
"""The rule that such a document breaks, whichever part of an image it is."""

_FREE = frozenset(('annotations', 'exposedports', 'labels', 'layersources', 'volumes'))
"""Fields whose objects have names of people's own choosing, of which case is a part."""
_SURROGATE = re.compile('[\ud800-\udfff]')


def fold(name: str) -> str:
    """Return what all names have in common that Go takes for one: Unicode's simple case folding."""
    return name.lower() if name.isascii() else ''.join(map(_folded, decoded(name)))


def decoded(name: str) -> str:
    """Return a name as Go decodes it, to which halves of surrogate pairs are all the same."""
    return name if name.isascii() else _SURROGATE.sub('\ufffd', name)


def _folded(letter: str) -> str:
    for folded in (letter.casefold(), letter.lower()):
        if len(folded) == 1:
            return folded
    return letter


class FieldNames(NamedTuple):
    """The fields that a kind of document has, by what they are folded to; None: all its names are free.

    With `free_top` those of the outermost object alone are free.
    """

    known: Mapping[str, str] | None
    free_top: bool = False

    @classmethod
    def of(cls, names: str, free_top: bool = False) -> 'FieldNames':
        """Return those in a text."""
        return cls({fold(name): name for name in names.split()}, free_top)

    def __or__(self, other: 'FieldNames') -> 'FieldNames':
        return FieldNames({**(self.known or {}), **(other.known or {})})


EXACT = FieldNames(None)
"""Of documents whose names are free: only one that is there twice is refused."""
STRICT = FieldNames({})
"""Of documents that nobody but we ourselves write and read: fields in another case alone are not known."""
MANIFEST_FIELDS = FieldNames.of(
    'schemaVersion mediaType artifactType config layers manifests subject annotations digest size urls data platform '
    'architecture os os.version os.features variant')
CONFIG_FIELDS = FieldNames.of(
    'created author architecture os os.version os.features variant config rootfs history type diff_ids created_by '
    'comment empty_layer container container_config docker_version id parent User ExposedPorts Env Entrypoint Cmd '
    'Volumes WorkingDir Labels StopSignal ArgsEscaped Healthcheck Test Interval Timeout StartPeriod StartInterval '
    'Retries OnBuild Shell StopTimeout Hostname Domainname')
LAYOUT_FIELDS = FieldNames.of('imageLayoutVersion')
ARCHIVE_FIELDS = FieldNames.of('Config RepoTags Layers Parent LayerSources ImageName')
"""Of the manifest.json of a docker archive."""


class NameReader:
    """Makes the objects of one document; for `json.loads`, which hands them over from the inside out.

    So an object is read as one of fields first, and exchanged for what is written when the field that it is the value
    of turns out to have free names.
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
        """What is ambiguous, empty if nothing is."""
        return self._twice or next(iter(self._alike.values()), '')

    def whole(self, read: object) -> object:
        """Return the document, given what `json.loads` made of it."""
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
        """Return what there is to say of objects with these names, of which a document has few kinds."""
        shape = self._shapes[names] = _Shape.of(names, self._known)
        self._twice = self._twice or shape.twice
        return shape

    def _read(self, written: dict[str, Any], shape: '_Shape') -> dict[str, Any]:
        self._free(written)
        if shape.usual:
            return written
        read = dict(zip(shape.read, written.values(), strict=True))
        self._written[id(read)] = written
        self._kept.append(read)  # as long as it lives nothing else has its id
        if shape.alike:
            self._alike[id(read)] = shape.alike
        return read

    def _free(self, written: dict[str, Any]) -> None:
        """Put what is written in place of what was read where a field's names are free."""
        for name, each in written.items():
            if id(each) in self._written and fold(name) in _FREE:
                written[name] = self._written.pop(id(each))
                self._alike.pop(id(each), None)


class _Shape(NamedTuple):
    """The names of an object: as they are read, and what is ambiguous about them."""

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
    """Tell which name is there twice, empty if none is."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return f'{_quoted(name)} is there twice'
        seen.add(name)
    return ''


def _alike(names: Iterable[str]) -> str:
    seen: dict[str, str] = {}
    for name in names:
        if (first := seen.setdefault(fold(name), name)) != name:
            return f'{_quoted(first)} and {_quoted(name)} are one name to programs in Go'
    raise AssertionError('no two names are alike')


def _quoted(name: str) -> str:
    return ascii(name[:60])
