"""Checking layers by reading them to the end: digests, sizes, and every entry."""
from collections.abc import Callable

from occystrap_core.checks.entries import EntryChecks, text
from occystrap_core.checks.findings import Findings, LayerFindings, rule_of
from occystrap_core.checks.gzip_end import GzipEnd
from occystrap_core.errors import ImageError
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer, ReadObservers
from occystrap_core.name_memory import NameMemory
from occystrap_core.tar.rewriter import RewrittenTar

_BEFORE_THE_END = ('layer-compression', 'layer-media-type')
"""Rules whose violation stops reading before the blob's digest is checked."""


class LayerChecks:
    """Checks the layers of one image, each on the thread that reads it."""

    def __init__(self, image: Image, findings: Findings, names: NameMemory) -> None:
        """`names` is the memory for names."""
        self._image, self._findings, self._names = image, findings, names
        self._entries: dict[int, EntryChecks] = {}
        self._complete = True

    def check(self, layer: Layer, observers: ReadObservers) -> None:
        """Read a layer to its end, and record its findings. Errors of the image are not raised."""
        if layer.base and layer.descriptor:
            self._complete = False
            self._findings.add('layer-left-out', f'{layer.base} has it', layer.index, layer.descriptor.digest)
            return
        found = LayerFindings()
        entries = EntryChecks(found.add, self._names.share())
        try:
            _read(layer, observers, entries, found.add)
        except ImageError as error:
            found.add(rule_of(error, 'layer-missing'), str(error))
            if layer.descriptor and error.rule in _BEFORE_THE_END:
                _read_blob(layer, observers, found.add)
        if layer.note:
            found.add('layer-media-type', layer.note)
        index = self._index(layer)
        self._entries[index] = entries
        digest = layer.descriptor.digest if layer.descriptor else layer.diff_id
        self._findings.add_all(found, index, digest)

    def finish(self) -> None:
        """Record what depends on all layers together, if all were read."""
        if not self._complete:
            return
        for index, entries in self._entries.items():
            below = [self._entries[lower] for lower in range(index) if lower in self._entries]
            for path in sorted(entries.whiteouts):
                if not any(each.has(path) for each in below):
                    self._findings.add('whiteout-without-target', 'no layer below has it', index,
                                       self._image.diff_ids[index], text(path))

    def _index(self, layer: Layer) -> int:
        """Return the position of a layer; a streamed one is identified by its digest."""
        known = layer.index < 0 and layer.diff_id in self._image.diff_ids
        return self._image.diff_ids.index(layer.diff_id) if known and layer.diff_id else layer.index


def _read(layer: Layer, observers: ReadObservers, entries: EntryChecks, report: Callable[[str, str], None]) -> None:
    """Read a layer, also after an entry that cannot be parsed, to check its digests; raises ImageError for these."""
    end = GzipEnd()
    with layer.tar(_with_end(observers, end)) as stream:
        tar = RewrittenTar(stream, [entries.entry])
        try:
            for _ in tar.chunks():
                pass
        except ImageError as error:
            if error.rule.startswith('layer-'):
                raise
            report(error.rule or 'tar-invalid', str(error))
            stream.drain()
            return
    if end.is_padded(stream.size, layer.stored):
        report('layer-padding', 'zeros follow its gzip data')
    entries.ended()
    if not tar.scanner.has_end:
        report('tar-end', 'it does not end with two blocks of zeros')
    if tar.scanner.has_trailing_data:
        report('tar-data-behind-end', 'something follows the end')


def _with_end(observers: ReadObservers, end: GzipEnd) -> ReadObservers:
    kept = observers.kept

    def keep(piece: memoryview) -> None:
        end.add(piece)
        if kept:
            kept(piece)
    return observers._replace(kept=keep)


def _read_blob(layer: Layer, observers: ReadObservers, report: Callable[[str, str], None]) -> None:
    """Read the blob of a layer whose tar could not be read to its end."""
    try:
        with layer.stored(observers) as stream:
            stream.drain()
    except ImageError as error:
        report(rule_of(error, 'layer-missing'), str(error))
