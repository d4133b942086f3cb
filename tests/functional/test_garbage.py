"""What an image takes is freed when it has ended, without waiting for Python to look for garbage: runs are long."""
import gc
from pathlib import Path

import pytest

from tests.hostile.in_process import run_here
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image

FEW, MANY = 4, 24
MOST = 50
"""Objects an image: for `dir://` Python's own encoder of indented JSON leaves some 30."""


@pytest.mark.parametrize('destination', [
    'dir://{place}?unique_names=true', 'layout://{place}', 'tar://{place}?format=oci',
    'registry://{host}/{place.name}/{{repository}}:{{tag}}'])
def test_images_leave_no_reference_cycles(registry: Registry, tmp_path: Path, destination: str) -> None:
    names = [f'registry://{registry.host}/garbage-{number}/app:v1\n' for number in range(MANY)]
    for number in range(MANY):
        put_tiny_image(registry, f'garbage-{number}/app', 'v1', files={'etc/name': str(number).encode()})
    left = []
    for count in (FEW, FEW, MANY):  # the first run imports modules
        listed, place = tmp_path / 'list', tmp_path / f'out{len(left)}'
        listed.write_text(''.join(names[:count]))
        gc.collect()
        gc.disable()
        try:
            goes = destination.format(place=place, host=registry.host)
            run_here('process', f'list://{listed}', goes).assert_success()
            left.append(gc.collect())
        finally:
            gc.enable()
    assert (left[2] - left[1]) / (MANY - FEW) < MOST, left
