"""A writer's receipt is accepted only if it covers the image that the core streamed."""
from collections.abc import Sequence

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.written_image import PlacedLayer
from occystrap_core.errors import PluginError
from occystrap_core.oci.digest import Digest
from occystrap_core.verification.receipt import Receipt


def require_receipt(receipt: object, output: ImageOutput, image_id: Digest, layers: Sequence[PlacedLayer] = (),
                    ) -> Receipt:
    """Return the result of a writer's finalize; raises PluginError unless it is a complete receipt of this image.

    `image_id` is the digest of the config, or of the index; `layers` are as the core hashed and counted them.
    """
    writer = type(output).__name__
    if not isinstance(receipt, Receipt):
        raise PluginError(f'{writer} returned {receipt!r} instead of a Receipt')
    if receipt.image_id != image_id:
        raise PluginError(f'{writer} returned a receipt of another image: {receipt.image_id}, expected {image_id}')
    if gap := receipt.gap():
        raise PluginError(f'{writer} returned an incomplete receipt: {gap}')
    sizes = {each.digest: each.size for each in receipt.expectations}
    for layer in layers:
        if sizes.get(layer.digest, layer.size) != layer.size:
            raise PluginError(f'{writer} returned a receipt with {sizes[layer.digest]} bytes for layer {layer.digest}, '
                              f'but {layer.size} bytes were read')
    return receipt
