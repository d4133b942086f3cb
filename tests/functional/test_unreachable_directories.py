"""A directory that may not be read, or not be reached, is unverified, and no source: it may well be there."""
import os
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_image
from tests.hostile.in_process import run_here
from tests.unit.tar.archives import write

PLACES = ['dir://{}/d', 'layout://{}/d:v1', 'mounts://{}/d', 'oci://{}/d', 'tar://{}/d']


@pytest.mark.parametrize('place', PLACES)
def test_what_cannot_be_reached_is_unverified(place: str, tmp_path: Path) -> None:
    (tmp_path / 'above').mkdir()
    (tmp_path / 'receipt').write_text(write(sample_image(), place.format(tmp_path / 'above')).to_json())
    (tmp_path / 'above').rename(tmp_path / 'elsewhere')
    gone = run_here('verify', tmp_path / 'receipt').assert_code(1)
    assert '1 FAILED' in gone.err and 'UNVERIFIED' not in gone.err
    os.symlink('above', tmp_path / 'above')  # as little can be said of it as of a directory that may not be entered
    unknown = run_here('verify', tmp_path / 'receipt').assert_code(1)
    assert '1 UNVERIFIED' in unknown.err and 'FAILED' not in unknown.err and 'symbolic links' in unknown.err, unknown


@pytest.mark.parametrize('scheme', ['dir', 'layout'])
def test_a_source_that_cannot_be_reached_is_not_called_missing(scheme: str, tmp_path: Path) -> None:
    os.symlink('above', tmp_path / 'above')
    done = run_here('info', f'{scheme}://{tmp_path}/above/d').assert_code(1)
    assert f'cannot read {tmp_path}/above/d: Too many levels of symbolic links' in done.err
