"""Comparing what the source supplied with what was requested: platform, pinned digest, whole index or a part of it."""
from collections.abc import Sequence

from occystrap_core.errors import DigestMismatch, ImageNotFound
from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Image, ImageIndex
from occystrap_core.image.origin import is_image
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.platform import Platform
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings
from occystrap_core.verification.provenance import PlatformChoices
from occystrap_core.verification.receipt import Receipt


def require_requested(opened: Image | ImageIndex, reference: Reference, settings: Settings) -> None:
    """Raise DigestMismatch or ImageNotFound if an input supplied another image than the reference requests."""
    origin = opened.origin
    if reference.digest and origin and origin.digest not in (None, reference.digest):
        raise DigestMismatch(f'{reference}: the source returned {origin.digest}', 'manifest-digest')
    if not isinstance(opened, ImageIndex | Artifact):
        listed = _listed_as(opened)  # it was chosen by that; many configs say amd64 whatever they are for
        _require_platform(Platform.parse(listed) if listed else opened.platform, opened.reference, settings)


def require_platform_at_end(image: Image, settings: Settings) -> None:
    """Raise ImageNotFound if the config at the end of a stream, whose platform was unknown before, is for another
    platform."""
    if image.sequential and image.source.platform is None:
        _require_platform(image.config.platform, image.reference, settings)


def _require_platform(actual: Platform | None, reference: Reference, settings: Settings) -> None:
    requested = settings.platform
    if requested and actual and not actual.may_be(requested):
        raise ImageNotFound(f'no image for platform {requested} at {reference}; available: {actual}')


def _listed_as(image: Image) -> str:
    return image.origin.selected if image.origin else ''


def platforms_taken(opened: Image | ImageIndex) -> Sequence[str]:
    """Return the platforms of what is copied, as far as they are known."""
    if isinstance(opened, ImageIndex):
        entries = [opened.index.manifests[child.place] for child in opened.children]
        return [str(entry.platform or 'unknown') for entry in entries if is_image(entry)]
    platform = None if isinstance(opened, Artifact) else _listed_as(opened) or opened.platform
    return [str(platform)] if platform else []


def platforms_there(opened: Image | ImageIndex) -> Sequence[str]:
    """Return the platforms of all images in the index at the source; empty if there is no index."""
    return opened.origin.platforms if opened.origin else ()


def platforms_of(opened: Image | ImageIndex) -> PlatformChoices:
    """Return both; nothing if there is no index."""
    there = tuple(platforms_there(opened))
    return PlatformChoices(tuple(platforms_taken(opened)), there) if there else PlatformChoices()


def selection_note(opened: Image | ImageIndex) -> list[str]:
    """Return a note on which part of an index was copied; empty if all of it was, or if there is no index."""
    digest = opened.origin.digest if opened.origin else None
    return [*_part_note(opened.reference, platforms_of(opened), digest, isinstance(opened, ImageIndex)),
            *_config_note(opened)]


def _config_note(opened: Image | ImageIndex) -> list[str]:
    if isinstance(opened, ImageIndex | Artifact):
        return []
    listed, said = _listed_as(opened), opened.platform
    if not listed or not said or said.may_be(Platform.parse(listed)):
        return []
    return [f'{opened.reference}: the index lists it as {listed}, its config says {said}']


def recorded_note(receipt: Receipt) -> list[str]:
    """Return the same note from the receipt of an earlier run."""
    return _part_note(receipt.reference, receipt.platforms, receipt.source_digest, receipt.is_index)


def _part_note(reference: object, platforms: PlatformChoices, index: Digest | None, is_index: bool) -> list[str]:
    taken, there = platforms
    if not there or (is_index and len(taken) == len(there)):
        return []
    named = f'index {index}' if index else 'index'
    return [f'{reference}: {len(taken)} of {len(there)} platforms of the {named}: {", ".join(taken)} '
            '(--platform chooses)']
