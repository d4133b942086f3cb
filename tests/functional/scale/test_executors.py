"""Bulk runs: many images on threads, on processes: each shared layer crosses the wire once, each receipt holds."""
import time
from pathlib import Path

import pytest

from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.sixty_images import SixtyImages
from tests.functional.scale.bulk import COPIED, assert_all_there, assert_shared_once, mirror_at

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


def test_workers_keep_one_rate_of_requests_together(sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
                                                    tmp_path: Path) -> None:
    before, rate = time.monotonic(), 20
    occystrap('process', sixty.listed(tmp_path, 3), mirror_at(destination.host), '--executor', 'processes:workers=2',
              '--rate-limit', str(rate), '--no-verify').assert_success()
    asked = len(destination.requests())
    assert asked > 20 and time.monotonic() - before >= (asked - 2) / rate
