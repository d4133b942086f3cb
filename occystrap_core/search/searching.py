"""Searching an image that is read for that alone."""
from occystrap_core.image.layer import Layer
from occystrap_core.layertar.rewriter import RewrittenTar
from occystrap_core.search.image_search import ImageSearch


def search_layer(search: ImageSearch, layer: Layer) -> None:
    """Read a layer to its end, which checks it, and keep what was found."""
    found = search.begin(layer)
    tar = RewrittenTar(layer.content(), [found.entry])
    try:
        for _ in tar.chunks():
            pass
    finally:
        tar.close()
    found.ended()
