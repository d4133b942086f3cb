"""A mirror killed at random moments, and run again: all is proved, and what was moved is not moved again."""
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.functional.many.mirroring import (
    AT_ONCE, DIRECTORY, assert_all_verified, counted_before, layer_reads, mirror_at,
)
from tests.services.command_line import CommandLine, WarmRun
from tests.services.faults import FaultProxy
from tests.services.many_images import FULL, ManyImages
from tests.services.registry import Registry

IN_FLIGHT = 8
LATENCY = 0.02
SEEDS = range(10 if int(os.environ.get('OCCYSTRAP_TEST_MANY', '0')) >= FULL else 2)


def kill_in_the_middle(process: WarmRun, chances: random.Random, many: ManyImages,
                       source: FaultProxy) -> None:
    """Kill the command at a random moment between its first layer and its last; fails if it was done before."""
    share = chances.random()
    while len(layer_reads(many, source)) < share * (len(many.uses()) - IN_FLIGHT):
        assert process.poll() is None, 'ended by itself'
        time.sleep(0.001)
    time.sleep(chances.uniform(0, 3 * LATENCY))
    process.kill()
    assert process.wait() == -signal.SIGKILL, 'done before it could be killed'
    time.sleep(0.2)  # until the proxy has noticed


def whole_layers(many: ManyImages, proxy: FaultProxy) -> set[str]:
    """Return the layers that went through the proxy to their last byte."""
    read = proxy.bytes_read()
    return {digest for digest in many.uses() if read[digest] >= many.blob_path(digest).stat().st_size}


@pytest.fixture
def target(request: pytest.FixtureRequest, registry_factory: Callable[..., Registry]) -> str:
    """Where the mirror goes."""
    return mirror_at(registry_factory().host) if request.param == 'registry' else DIRECTORY


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('target', ['registry', 'directory'], indirect=True)
def test_killed_and_resumed(target: str, seed: int, many: ManyImages, many_source: Registry, occystrap: CommandLine,
                            fault_proxy: Callable[..., FaultProxy], listed: Callable[[str], str]) -> None:
    source = fault_proxy(many_source.host, latency=LATENCY)
    command = ['process', listed(source.host), target, *AT_ONCE, '--receipt', 'receipts']
    kill_in_the_middle(occystrap.start_fork(*command), random.Random(seed), many, source)
    before = whole_layers(many, source)
    receipts = occystrap.directory / 'receipts'
    proved = receipts.read_text().count('\n') if receipts.exists() else 0
    resumed = ['--resume', 'receipts'] if receipts.exists() else []
    source.requests.clear()
    result = occystrap(*command, *resumed)
    assert_all_verified(result, many)
    again = before & {digest for digest, size in source.bytes_read().items() if size}
    print(f'\nkilled with {len(before)} layers read: {counted_before(result)} images done, {len(again)} read again')
    assert counted_before(result) >= proved, result
    assert target == DIRECTORY or len(again) <= IN_FLIGHT, result  # a directory lists images together, up to 0.5 s late
    assert_all_verified(occystrap('verify', '--full', 'receipts'), many)
