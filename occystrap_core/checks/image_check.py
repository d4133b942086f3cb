"""Checking what an input opened."""
from collections.abc import Callable

from occystrap_core.checks.findings import Findings
from occystrap_core.checks.layers import LayerChecks
from occystrap_core.checks.metadata import check_blobs, check_index, check_metadata
from occystrap_core.errors import UsageError
from occystrap_core.image.image import Content, Image, ImageIndex
from occystrap_core.pipeline.inspection import images_of, read_layers
from occystrap_core.settings import Settings


def check_content(content: Content, settings: Settings, advance: Callable[[int], None], fast: bool) -> Findings:
    """Return the findings for an image, or for the images of an index; `fast` reads no layer.

    Raises ServiceError and others for failures that the image is not responsible for.
    """
    findings = Findings()
    if isinstance(content, ImageIndex):
        check_index(content, findings)
    for image in images_of(content):
        _check_image(image, findings, settings, advance, fast)
    return findings


def _check_image(image: Image, findings: Findings, settings: Settings, advance: Callable[[int], None], fast: bool,
                 ) -> None:
    if fast and image.sequential:
        raise UsageError(f'{image.reference} provides its metadata only together with all layers: leave out --fast')
    if fast:
        check_blobs(image, findings)
    else:
        layers = LayerChecks(image, findings, settings.names)
        read_layers(image, settings, layers.check, advance)
        layers.finish()
    check_metadata(image, findings)
