"""The verifier of bundles: files that occystrap did not write, and expectations that it does not know."""
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Expectation
from occystrap_core.oci import Digest
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.results import Outcome
from tests.unit.tar.archives import verify, write


@pytest.mark.parametrize('scheme', ['oci', 'mounts', 'dir', 'layout', 'tar'])
def test_an_expectation_of_an_unknown_kind_is_unverified(scheme: str, tmp_path: Path) -> None:
    receipt = write(sample_image(), f'{scheme}://{tmp_path}/out')
    assert verify(receipt).outcome is Outcome.VERIFIED
    odd = Expectation('poem', 'poem.txt', Digest.of(b'x'), 1)
    verdict = verify(replace(receipt, expectations=(*receipt.expectations, odd)))
    assert verdict.outcome is Outcome.UNVERIFIED and any('poem poem.txt' in str(each) for each in verdict.findings)


@pytest.mark.parametrize('level', [VerifyLevel.FAST, VerifyLevel.FULL])
def test_files_that_the_writer_did_not_write_are_errors(level: VerifyLevel, tmp_path: Path) -> None:
    receipt = write(sample_image(), f'oci://{tmp_path}/out')
    (tmp_path / 'out/b').touch()
    (tmp_path / 'out/a').mkdir()
    assert [str(each) for each in verify(receipt, level).findings] == [
        f'{name}: exists, but occystrap did not write it: remove it' for name in 'ab']


def test_a_missing_bundle_is_reported_once(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'oci://{tmp_path}/out')
    verdict = verify(receipt.at(f'{tmp_path}/none'))
    assert verdict.outcome is Outcome.FAILED and 'there is no such directory' in str(verdict.findings[0])


def test_a_layer_of_mounts_without_its_list_is_missing(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'mounts://{tmp_path}/out')
    listing = receipt.of_kind('files')[0].locator
    (tmp_path / 'out' / listing).unlink()
    verdict = verify(receipt)
    assert verdict.outcome is Outcome.FAILED and any('is missing' in str(each) for each in verdict.findings)
