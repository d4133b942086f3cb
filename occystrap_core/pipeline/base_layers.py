"""Deltas: which blobs `--since` leaves out, and whether a destination has what a delta as the source leaves out."""
from collections.abc import Iterable
from contextlib import suppress

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.uri import Location
from occystrap_core.api.written_image import OutgoingLayer, WrittenLayer
from occystrap_core.destinations.destination_fields import filled_in, has_fields
from occystrap_core.errors import OutputError, UsageError
from occystrap_core.image.image import Content, Image, all_contents
from occystrap_core.image.layer import Layer
from occystrap_core.layers.outgoing_layer import Outgoing
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.reference import Reference
from occystrap_core.receipts.kept_receipts import is_proved
from occystrap_core.settings import Settings


def base_of(path: str) -> dict[Digest, str]:
    """Return the blobs that verified receipts in a file expect, each with the name of an image that has it.

    Raises UsageError if there are none, and as `read_receipts` does.
    """
    from occystrap_core.receipts.receipt_lines import read_receipts  # late, as only deltas need it
    proved = [each for each in read_receipts(path, cut=True) if is_proved(each) and each.keeps_manifests]
    if not proved:
        raise UsageError(f'--since={path} has no verified receipt of a destination that keeps blobs unchanged')
    return {layer.digest: each.reference for each in proved for layer in each.of_kind('layer')}


def find_layer(output: ImageOutput, layer: OutgoingLayer, settings: Settings) -> WrittenLayer | None:
    """Return a layer that is already at the destination, is taken from elsewhere there, or is left out of a delta."""
    if found := output.has_layer(layer):
        return found
    in_base = settings.base and layer.descriptor and layer.descriptor.digest in settings.base
    return (output.omit_layer(layer) if in_base else None) or output.adopt_layer(layer)


def note_bases(opened: Content, output: ImageOutput, written: Location) -> None:
    """Tell a writer which images at the destination, as written, should have what the source leaves out."""
    if not has_fields(written):
        return
    for layer in (each for image in images_in(opened) for each in image.layers if each.base):
        with suppress(UsageError):  # the name of the image does not fill all fields
            if layer.descriptor:
                output.note_base(layer.descriptor.digest, filled_in(written, Reference.parse(layer.base)))


def images_in(*contents: Content) -> Iterable[Image]:
    """Return all images and artifacts in what an input opened, and their referrers."""
    return (each for each in all_contents(*contents) if isinstance(each, Image))


def require_base(images: Iterable[Image], output: ImageOutput, settings: Settings) -> None:
    """Raise OutputError, naming image and blob, unless the destination has all that the source, a delta, leaves out.

    Raises UsageError if a filter would have to read it.
    """
    needed = [(image, layer) for image in images for layer in image.layers if layer.source.base]
    found = settings.in_parallel(lambda each: _is_there(*each, output, settings), needed)
    lacking = [each for each, is_there in zip(needed, found, strict=True) if not is_there]
    if lacking:
        image, layer = lacking[0]
        more = f' and {len(lacking) - 1} more' if lacking[1:] else ''
        raise OutputError(f'{image.reference} needs layer {_digest(layer)}{more}, which this delta leaves out '
                          f'and {output.location} lacks: first load there the archive of the earlier run, which '
                          f'has {layer.base}')


def _is_there(image: Image, layer: Layer, output: ImageOutput, settings: Settings) -> bool:
    if layer is not layer.source:
        raise UsageError(f'{image.reference}: no filter can change layer {_digest(layer.source)}, which the source, a '
                         'delta, leaves out: load the delta, and filter what was loaded')
    outgoing = Outgoing(layer, output.layer_form, lambda count: None)
    return not output.in_order and (find_layer(output, outgoing, settings) or output.copy_base(outgoing)) is not None


def _digest(layer: Layer) -> Digest | None:
    return layer.descriptor.digest if layer.descriptor else layer.diff_id
