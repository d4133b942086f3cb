"""What became of a layer by filters and compression, so that it is not made again while a destination still has it."""
from typing import Protocol

from occystrap_core.errors import InvalidImage
from occystrap_core.image.layer import Layer
from occystrap_core.image.stream import ByteStream
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.values import value


@value
class Result:
    """What a layer became: its diff_id, and its blob where one was made."""

    diff_id: Digest
    descriptor: Descriptor | None = None


class LayerCache(Protocol):
    """Results by what they were made from (a digest) and how (filters, form, compression); used by several threads."""

    def find(self, made_from: Digest, recipe: str) -> Result | None:
        """Return what became of it, None if nobody knows."""

    def keep(self, made_from: Digest, recipe: str, result: Result) -> None:
        """Remember a result."""


class CachedLayer(Layer):
    """A layer that was made before: what it is is known, not its bytes. A destination is asked whether it has it."""

    def __init__(self, original: Layer, result: Result) -> None:
        self.original, self.index = original, original.index
        self.diff_id, self.descriptor = result.diff_id, result.descriptor

    def stored(self) -> ByteStream:
        """Raise InvalidImage: nobody keeps the bytes."""
        raise InvalidImage(f'layer {self.diff_id} is remembered, not kept')

    def tar(self) -> ByteStream:
        """Open the tar of what it is made from."""
        assert self.original
        return self.original.tar()


class RunCache:
    """Remembers for the length of a run."""

    def __init__(self) -> None:
        self._results: dict[tuple[Digest, str], Result] = {}

    def find(self, made_from: Digest, recipe: str) -> Result | None:
        """Return what became of it, None if nobody knows."""
        return self._results.get((made_from, recipe))

    def keep(self, made_from: Digest, recipe: str, result: Result) -> None:
        """Remember a result."""
        self._results[made_from, recipe] = result
