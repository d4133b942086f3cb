"""Deltas: what a writer is told of the images that have the blobs which a delta leaves out."""
import pytest

from occystrap_core import Location, Settings
from occystrap_core.oci import Digest
from occystrap_core.pipeline.base_layers import note_bases
from tests.unit.core.pipeline.memory import MemoryOutput
from tests.unit.core.pipeline.test_image_copy import image_of


class Noting(MemoryOutput):
    """Keeps what it is told."""

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self.noted: list[tuple[Digest, str]] = []

    def note_base(self, digest: Digest, location: Location) -> None:
        self.noted.append((digest, str(location)))


@pytest.mark.parametrize(('base', 'path', 'noted'), [
    ('team/base:v1', 'to/{repository}:{tag}', 'memory://to/team/base:v1'),
    ('team/base:v1', 'to/app:v2', None),  # where the other image went is unknown
    (f'team/base@{Digest.of(b"x")}', 'to/{repository}:{tag}', None)])
def test_a_writer_hears_where_the_image_with_a_left_out_blob_should_be(base: str, path: str, noted: str | None) -> None:
    image, location = image_of(b'a' * 512, b'b' * 512), Location('memory', path, {}, {})
    left_out = image.layers[0]
    left_out.base = base
    output = Noting(location, Settings())
    note_bases(image, output, location)
    assert left_out.descriptor
    assert output.noted == ([(left_out.descriptor.digest, noted)] if noted else [])
