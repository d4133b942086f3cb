"""Images that a source has but does not list: its list is incomplete, so an unlisted image need not be gone."""
from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.uri import parse_uri
from occystrap_core.destinations.bringers import PrunedSource
from occystrap_core.errors import ImageNotFound, OccystrapError, UsageError
from occystrap_core.oci.reference import Reference
from occystrap_core.sources.selection import is_selected
from occystrap_core.verification.receipt import Receipt


def why_unlisted(source: PrunedSource, receipt: Receipt) -> str:
    """Return why an image that a source brought, and no longer lists, must stay; empty if it is gone there.

    If the source's selection would take the image, it is requested by name: a catalog may show less to clients without
    a login, or lag behind.
    """
    reference = _at_source(source.images, receipt) if source.images else None
    if not source.images or not source.written or not reference or not _would_be_taken(source, reference):
        return ''
    try:
        there = source.images.present_digest(reference)
    except ImageNotFound:
        return ''
    except OccystrapError as error:
        return f'the source does not list it, and cannot be asked for it: {error}'
    return 'the source has the image but does not list it, so its list is incomplete: try again later' if there else ''


def _would_be_taken(source: PrunedSource, reference: Reference) -> bool:
    """Return whether the selection would take the image if it were listed; False if that depends on other images."""
    assert source.written and source.images
    given = source.written.given
    if 'since' in given or 'newest' in given and any(each.name == reference.name for each in source.references):
        return False
    return is_selected(reference, source.images, source.written)


def _at_source(images: ImageInput, receipt: Receipt) -> Reference | None:
    """Return the name of a receipt's image at its source, with which the input can open it; None if that is uncertain.
    """
    try:
        written = parse_uri(receipt.source.partition(' ')[0])
        for with_host in (True, False):
            reference = Reference.parse(written.path, with_host=with_host)
            location = images.location_of(reference)
            if (location.scheme, location.path) == (written.scheme, written.path):
                return reference
    except (UsageError, KeyError):  # for example of an input that only knows the images it has listed
        pass
    return None
