"""The layers of a sequential image, which its source gives once, for several destinations."""
import threading
from collections.abc import Callable, Iterator

from occystrap_core.errors import again
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer


class SharedArrivals:
    """Whichever destination is first has the next layer read, and all get it."""

    def __init__(self, image: Image, take: Callable[[Image, int, Layer], Layer]) -> None:
        """`take` reads a layer and returns one that can be read again."""
        self._image, self._take = image, take
        self._arriving = image.arrivals()
        self._layers: list[Layer] = []
        self._ended = False
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def layers(self) -> Iterator[Layer]:
        """Yield all layers, those that have arrived first; raises for each destination what the source raised."""
        number = 0
        while self._has(number):
            yield self._layers[number]
            number += 1

    def _has(self, number: int) -> bool:
        with self._lock:
            if number == len(self._layers) and not self._ended:
                self._next()
            if number == len(self._layers) and self._error:
                raise again(self._error)
            return number < len(self._layers)

    def _next(self) -> None:
        try:
            layer = next(self._arriving, None)
            self._ended = layer is None
            if layer is not None:
                self._layers.append(self._take(self._image, len(self._layers), layer))
        except BaseException as error:
            self._ended, self._error = True, error
