"""Bulk runs: many images on threads, on processes: each shared layer crosses the wire once, each receipt holds."""
import json
import time
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.sixty_images import SixtyImages
from tests.functional.scale.bulk import COPIED, assert_all_there, assert_shared_once, mirror_at
from tests.unit.registry.images import push

EXECUTORS = ('local', 'processes:workers=3')


@pytest.mark.parametrize('executor', EXECUTORS)
def test_a_shared_layer_is_transferred_once(executor: str, sixty: SixtyImages, destination: Registry,
                                            occystrap: CommandLine, tmp_path: Path) -> None:
    with assert_shared_once(sixty):
        result = occystrap('process', sixty.listed(tmp_path, COPIED), mirror_at(destination.host), '--executor',
                           executor, '--receipt', 'receipts').assert_success()
    assert result.err.splitlines()[-1].endswith(f', {COPIED}/{COPIED} verified'), result
    assert_all_there(occystrap, tmp_path / 'receipts')


@pytest.mark.parametrize('goes', ['layout://out', 'oci://out/{name}', 'tar://out/{repository}.tar?format=oci'])
def test_destinations_on_the_disk_that_processes_share(goes: str, sixty: SixtyImages, occystrap: CommandLine,
                                                       tmp_path: Path) -> None:
    count = 6
    result = occystrap('process', sixty.listed(tmp_path, count), goes, '--executor', 'processes:workers=2', '--receipt',
                       'receipts').assert_success()
    assert result.err.splitlines()[-1].endswith(f', {count}/{count} verified'), result
    assert_all_there(occystrap, tmp_path / 'receipts', count)


@pytest.mark.parametrize('executor', EXECUTORS)
def test_the_report_of_a_bulk_run_has_the_proofs(executor: str, sixty: SixtyImages, destination: Registry,
                                                 occystrap: CommandLine, tmp_path: Path) -> None:
    """Of images that are copied, and of those that are there already."""
    for name in ('first.json', 'again.json'):
        occystrap('process', sixty.listed(tmp_path, 2), mirror_at(destination.host), '--executor', executor,
                  '--receipt', 'receipts', '--resume', 'receipts', '--report', name).assert_success()
        images = json.loads((tmp_path / name).read_text())['images']
        assert len(images) == 2
        for image in images:
            kinds = [each['kind'] for each in image['expectations']]
            assert sorted(kinds) == ['config', *['layer'] * image['layers'], 'manifest'], image
            assert all(each['observed'] for each in image['expectations'])
    assert all(image['done_before'] for image in images)


def test_workers_keep_one_rate_of_requests_together(sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
                                                    tmp_path: Path) -> None:
    before, rate = time.monotonic(), 20
    occystrap('process', sixty.listed(tmp_path, 3), mirror_at(destination.host), '--executor', 'processes:workers=2',
              '--rate-limit', str(rate), '--no-verify').assert_success()
    asked = len(destination.requests())
    assert asked > 20 and time.monotonic() - before >= (asked - 2) / rate


@pytest.mark.parametrize('executor', EXECUTORS)
def test_if_who_brings_a_shared_layer_fails_the_next_one_does(executor: str, destination: Registry,
                                                              occystrap: CommandLine, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'source') as server:
        images = [sample_image(variant=str(number)) for number in range(3)]
        for number, image in enumerate(images):
            push(server.host, Settings(), image, f'app-{number}:v1')
        own = images[0].layers[2].descriptor
        assert own
        for each in (tmp_path / 'source').rglob(f'{own.digest.hex}*'):
            each.unlink()
        (tmp_path / 'images.txt').write_text(''.join(f'{server.host}/app-{number}:v1\n' for number in range(3)))
        result = occystrap('process', 'list://images.txt', mirror_at(destination.host), '--executor', executor,
                           '--receipt', 'receipts').assert_code(1)
    failed, = (line for line in result.err.splitlines() if line.startswith('FAILED '))
    assert 'app-0:v1' in failed and (executor == 'local' or failed.endswith(')') and '(worker ' in failed), result
    assert result.err.splitlines()[-1].endswith(', 2/3 verified, 1 FAILED')
    assert_all_there(occystrap, tmp_path / 'receipts', 2)
