"""Notes about layers that are kept for the next run, and about those that an earlier run had kept."""
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.written_image import PlacedLayer
from occystrap_core.errors import Cancelled, ServiceError
from occystrap_core.oci.digest import Digest
from occystrap_core.terminal_text import counted, size_text


def may_go_on(reason: BaseException) -> bool:
    """Return whether the next run may resume after this failure: a signal, or a service that is gone."""
    return isinstance(reason, Cancelled | ServiceError) or not isinstance(reason, Exception)


class KeptLayers:
    """The layers that the images of an interrupted run have kept, by their places; for several threads."""

    def __init__(self) -> None:
        self._places: defaultdict[str, dict[Digest, int]] = defaultdict(dict)
        self._lock = threading.Lock()

    def add(self, output: ImageOutput) -> None:
        """Add the layers that an output has kept."""
        with self._lock:
            self._places[output.kept_at or output.location.path].update(output.kept)

    def notes(self) -> list[str]:
        """Return a line for each place where layers were kept."""
        return [kept_text(kept, place) for place, kept in self._places.items() if kept]


def kept_note(output: ImageOutput) -> str:
    """Return a line about the layers that an output has kept; empty if there are none."""
    return kept_text(output.kept, output.kept_at or output.location.path) if output.kept else ''


def kept_text(kept: Mapping[Digest, int], place: str) -> str:
    """Return `2 layers (41.3 MiB) are kept for the next run in PLACE`."""
    are = 'is' if len(kept) == 1 else 'are'
    return f'{counted(len(kept), "layer")} ({size_text(sum(kept.values()))}) {are} kept for the next run in {place}'


def reused_bytes(layers: Iterable[PlacedLayer]) -> int:
    """Return how many bytes of the layers' blobs an earlier run had kept."""
    return sum({each.resumed.blob.digest: each.resumed.reused for each in layers if each.resumed}.values())


def resumed_notes(layers: Iterable[PlacedLayer]) -> list[str]:
    """Return a line for each layer of which an earlier run had kept the beginning, or all."""
    resumed = dict.fromkeys(each.resumed for each in layers if each.resumed)
    return [f'layer {each.blob.digest} was kept by an earlier run' if each.reused == each.blob.size else
            f'layer {each.blob.digest} was resumed at {size_text(each.reused)}' for each in resumed if each]
