"""Searching the layers of one image, in any order."""
from collections.abc import Sequence
from typing import NamedTuple

from occystrap_core.errors import InvalidImage
from occystrap_core.image.layer import Layer, ReadObservers
from occystrap_core.name_memory import NameMemory
from occystrap_core.oci.digest import Digest
from occystrap_core.search.matcher import Matches, Regex
from occystrap_core.tar import entry_headers as kinds
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.globs import plain_path
from occystrap_core.tar.reader import TarReader
from occystrap_core.tar.sparse import full_size
from occystrap_core.tar.whiteouts import SHADOWED, LayerEffects, is_whiteout

VISIBLE = 'visible'
_BATCH, _BATCH_BYTES = 2000, 1 << 20
_COST = 600
"""Approximate bytes of memory for a match, besides its names."""
_TYPES = {kinds.HARD_LINK: 'hard link', kinds.SYMLINK: 'symlink', kinds.CHARACTER_DEVICE: 'character device',
          kinds.BLOCK_DEVICE: 'block device', kinds.DIRECTORY: 'directory', kinds.FIFO: 'pipe'}


class Match(NamedTuple):
    """One entry of one layer: `layer` is its position, `size` in bytes. If it is not visible, `by` is the layer that
    shadows or deletes it."""

    path: bytes
    type: str
    size: int
    mode: int
    uid: int
    gid: int
    mtime: float
    linkname: bytes
    layer: int = -1
    diff_id: Digest | None = None
    state: str = VISIBLE
    by: int | None = None

    @classmethod
    def of(cls, path: bytes, entry: TarEntry) -> 'Match':
        """Return the match of an entry."""
        target = entry.linkname if entry.type in (kinds.HARD_LINK, kinds.SYMLINK) else b''
        return cls(path, _TYPES.get(entry.type, 'file'), full_size(entry), entry.mode, entry.uid, entry.gid,
                   entry.mtime, target)


class LayerSearch:
    """The matches in one layer, while it is read."""

    def __init__(self, search: 'ImageSearch', layer: Layer) -> None:
        self._search, self._layer = search, layer
        self.matches: list[Match] = []
        self._share = search.names.share()
        self.effects = LayerEffects(self._share)
        self._unsettled: list[Match | InvalidImage] = []
        self._paths: list[bytes] = []
        self._bytes = 0

    def entry(self, entry: TarEntry) -> TarEntry:
        """Look at an entry, and return it unchanged."""
        kind = entry.type
        if kind == kinds.GLOBAL_PAX:
            return entry
        path, is_directory = plain_path(entry.name), kind == kinds.DIRECTORY
        if self._layer.index:  # nothing is below the first layer; of a layer that is listed twice the upper one is read
            self.effects.add(path, is_directory)
        if isinstance(self._search.matches, Regex):
            if path and not is_whiteout(path):
                self._note(path, entry)
        elif self._search.matches.match(path, is_directory) and path and not is_whiteout(path):
            self._found(Match.of(path, entry))
        return entry

    def ended(self) -> None:
        """Keep the matches, after the layer was checked."""
        self._settle()
        self._search.keep(self._layer, self)

    def _found(self, match: Match) -> None:
        self._share.take(len(match.path) + len(match.linkname) + _COST)
        self.matches.append(match)

    def _note(self, path: bytes, entry: TarEntry) -> None:
        """Keep an entry for a batch in which another program decides which ones match."""
        try:
            self._unsettled.append(Match.of(path, entry))
        except InvalidImage as error:  # only needed if it matches
            self._unsettled.append(error)
        self._paths.append(path)
        self._bytes += len(path)
        if len(self._paths) >= _BATCH or self._bytes >= _BATCH_BYTES:
            self._settle()

    def _settle(self) -> None:
        if not self._paths:
            return
        assert isinstance(self._search.matches, Regex)
        for noted, matches in zip(self._unsettled, self._search.matches.which(self._paths), strict=True):
            if matches and isinstance(noted, InvalidImage):
                raise noted
            if matches and isinstance(noted, Match):
                self._found(noted)
        self._unsettled, self._paths, self._bytes = [], [], 0


class ImageSearch:
    """Collects the matches in the layers of an image."""

    def __init__(self, matches: Matches, names: NameMemory) -> None:
        """`names` is the memory for names: of matches, and of what shadows them."""
        self.matches, self.names = matches, names
        self._by_diff_id: dict[Digest, LayerSearch] = {}

    def begin(self, layer: Layer) -> LayerSearch:
        """Return the search of one layer."""
        return LayerSearch(self, layer)

    def keep(self, layer: Layer, found: LayerSearch) -> None:
        """Take the matches of a layer, whose diff_id is known by now."""
        diff_id = layer.source.diff_id
        assert diff_id
        self._by_diff_id[diff_id] = found

    def has(self, diff_ids: Sequence[Digest]) -> bool:
        """Return whether all layers with these diff_ids were searched."""
        return self._by_diff_id.keys() >= set(diff_ids)

    def results(self, diff_ids: Sequence[Digest]) -> list[Match]:
        """Return all matches, those of the lowest layer first, with the effect of upper layers on each.

        `diff_ids` are the source's, lowest first. Raises InvalidImage for a layer that was not searched.
        """
        if not self.has(diff_ids):
            raise InvalidImage('not every layer was read')
        layers = [self._by_diff_id[diff_id] for diff_id in diff_ids]
        return [self._placed(match, index, diff_id, layers)
                for index, diff_id in enumerate(diff_ids) for match in _last_counts(index, layers[index].matches)]

    def _placed(self, match: Match, index: int, diff_id: Digest, layers: Sequence[LayerSearch]) -> Match:
        match = match._replace(layer=index, diff_id=diff_id)
        if match.state != VISIBLE:
            return match
        for higher in range(index + 1, len(layers)):
            if effect := layers[higher].effects.on(match.path):
                return match._replace(state=effect, by=higher)
        return match


def _last_counts(index: int, matches: Sequence[Match]) -> list[Match]:
    """Return the matches of one layer; if a tar has several entries of one path, the last one counts."""
    last = {match.path: match for match in matches}
    return [match if last[match.path] is match else match._replace(state=SHADOWED, by=index) for match in matches]


def search_layer(search: ImageSearch, layer: Layer, observers: ReadObservers) -> None:
    """Read a layer to its end, which checks it, and keep the matches."""
    found = search.begin(layer)
    with layer.content(observers) as stream:
        for entry in TarReader(stream.chunks()).entries():
            found.entry(entry)
    found.ended()
