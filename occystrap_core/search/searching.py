"""Searching an image that is read for that alone."""
from occystrap_core.image.layer import Layer
from occystrap_core.layertar.reader import TarReader
from occystrap_core.search.image_search import ImageSearch


def search_layer(search: ImageSearch, layer: Layer) -> None:
    """Read a layer to its end, which checks it, and keep what was found."""
    found = search.begin(layer)
    with layer.content() as stream:
        for entry in TarReader(stream.chunks()).entries():
            found.entry(entry)
    found.ended()
