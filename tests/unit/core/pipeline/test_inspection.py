"""What is looked at without being written: each image has its own outcome."""
import json
from pathlib import Path

from tests.hostile.in_process import run_here


def test_each_image_that_cannot_be_opened_has_its_own_finding(tmp_path: Path) -> None:
    names = ['one', 'other', 'third']
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / 'manifest.json').write_text(f'[{{"Config": "{name}"')
    (tmp_path / 'list').write_text(''.join(f'dir://{tmp_path}/{name}\n' for name in names))
    images = json.loads(run_here('check', f'list://{tmp_path}/list', '-O', 'json').assert_code(1).out)['images']
    assert [each['reference'] for each in images] == [f'dir://{tmp_path}/{name}' for name in names]
    for name, image in zip(names, images, strict=True):
        assert name in str(image['findings']) and not image['failure'], image
