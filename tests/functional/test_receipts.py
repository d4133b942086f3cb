"""Receipts on the command line: what is not replaced, what is refused, what a destination cannot prove."""
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.services.command_line import CommandLine


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The sample image as an archive."""
    return write_docker_archive(tmp_path / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')


@pytest.mark.parametrize(('receipt', 'destination'), [
    ('sample.tar', 'tar://out.tar'), ('out.tar', 'tar://out.tar'), ('./x/../out.tar', 'tar://out.tar'),
    ('script', 'tar://out.tar'), ('link', 'tar://out.tar'), ('dangling', 'tar://out.tar'),
    ('out/manifest.json', 'dir://out')])
def test_nothing_but_receipts_is_written_over(occystrap: CommandLine, archive: Path, tmp_path: Path, receipt: str,
                                              destination: str) -> None:
    (tmp_path / 'x').mkdir()
    (tmp_path / 'script').write_text('#!/bin/sh\n')
    (tmp_path / 'link').symlink_to('script')
    (tmp_path / 'dangling').symlink_to('victim')
    if receipt.startswith('out/'):
        occystrap('process', f'tar://{archive}', destination).assert_success()
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    result = occystrap('process', f'tar://{archive}', destination, '--receipt', receipt).assert_code(2)
    assert len(result.errors) == 1 and 'choose ' in result.err
    assert {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()} == before


def test_a_receipt_of_a_forced_file_verifies(occystrap: CommandLine, archive: Path, tmp_path: Path) -> None:
    (tmp_path / 'r').write_text('something else')
    occystrap('process', f'tar://{archive}', 'tar://out.tar', '--receipt', 'r', '--force').assert_success()
    occystrap('verify', 'r').assert_success()


@pytest.mark.parametrize('scheme', ['dir', 'layout', 'mounts'])
def test_an_image_whose_receipt_was_removed_is_unverified(occystrap: CommandLine, archive: Path, tmp_path: Path,
                                                          scheme: str) -> None:
    options = '?unique_names=true' if scheme == 'dir' else ''
    other = write_docker_archive(tmp_path / 'other.tar', sample_config(), sample_layers(), 'other:v1')
    for each in (archive, other):
        occystrap('process', f'tar://{each}', f'{scheme}://out{options}').assert_success()
    assert '2/2 verified' in occystrap('verify', f'{scheme}://out').assert_success().err
    kept = sorted((tmp_path / 'out/.occystrap/receipts').iterdir())
    content = kept[0].read_text()
    kept[0].unlink()
    result = occystrap('verify', f'{scheme}://out').assert_code(1)
    assert 'has no receipt of this image' in result.err and '1/2 verified, 1 UNVERIFIED' in result.err
    assert f'Checked: {scheme}://{tmp_path}/out\n' in result.err
    assert re.search('^UNVERIFIED [^ ]+: the destination has no receipt', result.err, re.MULTILINE)
    kept[0].write_text(content.replace('"size": ', '"size": 1', 1))
    result = occystrap('verify', f'{scheme}://out').assert_code(1)
    assert 'its seal does not match' in result.err
    shutil.rmtree(tmp_path / 'out/.occystrap/receipts')
    assert '0/2 verified, 2 UNVERIFIED' in occystrap('verify', f'{scheme}://out').assert_code(1).err


def test_a_destination_without_receipts_says_what_to_name(occystrap: CommandLine, archive: Path) -> None:
    assert 'give the file that process --receipt wrote' in occystrap('verify', f'tar://{archive}').assert_code(2).err
    assert 'give the file that process --receipt wrote' in occystrap('verify', 'dir://nowhere').assert_code(2).err


def test_verify_reports_every_observation_in_json(occystrap: CommandLine, archive: Path) -> None:
    occystrap('process', f'tar://{archive}', 'dir://out', '--receipt', 'r').assert_success()
    image, = occystrap('verify', 'r', '-O', 'json').assert_success().json()['images']
    assert {each['kind'] for each in image['expectations']} == {'manifest', 'config', 'layer', 'catalog'}
    for each in image['expectations']:
        assert each['outcome'] == 'verified' and each['observed'][0]['how'] == 'read'
        assert (each['observed'][0]['digest'] is None) is (each['kind'] == 'layer')
    image, = occystrap('verify', 'r', '--full', '-O', 'json').assert_success().json()['images']
    assert all(each['observed'][0]['digest'] == each['digest'] for each in image['expectations'])


def test_a_receipt_of_the_first_version_is_read_and_said_to_be_unsealed(occystrap: CommandLine, archive: Path,
                                                                        tmp_path: Path) -> None:
    for place in ('out', 'other'):
        occystrap('process', f'tar://{archive}', f'dir://{place}', '--receipt', 'r').assert_success()
        document = json.loads((tmp_path / 'r').read_text())
        for name in ('seal', 'verdict', 'form', 'parts', 'place', 'source_digest'):
            del document[name]
        with (tmp_path / 'old').open('a') as old:
            old.write(json.dumps({**document, 'receipt': 1}) + '\n')
        (tmp_path / 'r').unlink()
        result = occystrap('verify', 'old').assert_success()
        assert result.err.count('of an earlier version, without a seal') == 1
    assert '2 receipts are of an earlier version' in result.err


def test_resume_believes_only_what_was_verified(occystrap: CommandLine, archive: Path, tmp_path: Path) -> None:
    run = ('process', f'tar://{archive}', 'tar://out.tar', '--receipt', 'r', '--resume', 'r', '--no-refresh')
    occystrap('process', f'tar://{archive}', 'tar://out.tar', '--receipt', 'r', '--no-verify').assert_success()
    assert 'done before' not in occystrap(*run).assert_success().err
    assert '1 done before' in occystrap(*run).assert_success().err
    os.truncate(tmp_path / 'out.tar', 1000)
    (tmp_path / 'out.tar').unlink()
    assert 'done before' not in occystrap(*run).assert_success().err


@pytest.mark.parametrize('scheme', ['dir', 'layout', 'mounts'])
def test_one_image_of_a_destination(occystrap: CommandLine, archive: Path, tmp_path: Path, scheme: str) -> None:
    """The other one is damaged, or has no receipt: neither matters to who asks for this one."""
    layers = sample_layers('other')
    other = write_docker_archive(tmp_path / 'other.tar', sample_config(layers), layers, 'team/other:v1')
    for each in (archive, other):
        occystrap('process', f'tar://{each}', f'{scheme}://out' + '?unique_names=true' * (scheme == 'dir')
                  ).assert_success()
    other_receipt, = (each for each in (tmp_path / 'out/.occystrap/receipts').iterdir() if 'other' in each.read_text())
    other_receipt.unlink()
    for name in ('sample:v1', 'sam*:v1', 'sample*'):
        assert '1/1 verified' in occystrap('verify', f'{scheme}://out?image={name}').assert_success().err
    for name in ('team/other:v1', 'team/*'):
        assert 'has no receipt of this image' in occystrap('verify', f'{scheme}://out?image={name}').assert_code(1).err
    unknown = occystrap('verify', f'{scheme}://out?image=nobody:v1').assert_code(2).err
    assert 'has no image nobody:v1; available: sample:v1, team/other:v1' in unknown
