"""Layers that arrive in any order are handed over in that of the image; one that is listed twice, twice."""
import itertools
from collections.abc import Iterator, Sequence

import pytest

from occystrap_core import Layer, Settings
from occystrap_core.layers.layer_order import ordered_layers
from occystrap_core.oci import Digest, Reference
from occystrap_core.tar import SequentialImage, TarLayer
from tests.unit.core.image.sources import Source


class Arriving(SequentialImage):
    """An image whose layers, each a few bytes here, come in another order."""

    def __init__(self, order: Sequence[bytes], arriving: Sequence[bytes]) -> None:
        super().__init__(Reference.parse('app:v1'), [Digest.of(content) for content in order])
        self._arriving = arriving

    def arrivals(self) -> Iterator[Layer]:
        for content in self._arriving:
            yield TarLayer(-1, Digest.of(content), lambda content=content: Source(content))  # type: ignore[misc]


def handed_over(order: Sequence[bytes], arriving: Sequence[bytes]) -> list[bytes]:
    found = []
    for layer in ordered_layers(Arriving(order, arriving), Settings()):
        with layer.tar() as stream:
            found.append(b''.join(map(bytes, stream.chunks())))
        assert layer.source.diff_id == Digest.of(found[-1])
    return found


@pytest.mark.parametrize('arriving', list(itertools.permutations([b'a', b'b', b'c'])))
def test_any_order(arriving: Sequence[bytes]) -> None:
    assert handed_over([b'a', b'b', b'c'], arriving) == [b'a', b'b', b'c']


@pytest.mark.parametrize('arriving', list(itertools.permutations([b'a', b'b'])))
def test_one_that_is_listed_twice_arrives_once(arriving: Sequence[bytes]) -> None:
    assert handed_over([b'a', b'b', b'a'], arriving) == [b'a', b'b', b'a']
