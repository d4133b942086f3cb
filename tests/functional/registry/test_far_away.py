"""A registry far away is asked for several images at once, whatever -j says of layers."""
import threading
from pathlib import Path

import pytest

from tests.services.command_line import CommandLine
from tests.services.faults import FaultProxy, Faults, fault_proxy
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image

COUNT = 6


class InFlight:
    """Watches how many requests wait for their answer at the same time."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.most, self._proxy, self._ended = 0, proxy, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> 'InFlight':
        self._proxy.requests.clear()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.most = max(self.most, sum(not each.status for each in list(self._proxy.requests)))


@pytest.mark.parametrize(('level', 'least', 'most'), [('fast', COUNT, COUNT + 1), ('full', 1, 1)])
def test_images_are_verified_together_but_only_some_layers_are_read_at_once(
        level: str, least: int, most: int, registry: Registry, occystrap: CommandLine, tmp_path: Path) -> None:
    names = [f'far/{level}-{number}' for number in range(COUNT)]
    for name in names:
        put_tiny_image(registry, name, 'v1', files={'etc/name': name.encode()})
    listed = tmp_path / 'images.txt'
    listed.write_text(''.join(f'registry://{registry.host}/{name}:v1\n' for name in names))
    with fault_proxy(registry.host) as proxy:
        occystrap('process', f'list://{listed}', f'registry://{proxy.host}/copy/{{repository}}:{{tag}}', '--receipt',
                  'receipts').assert_success()
        proxy.faults = Faults(latency=0.5)
        with InFlight(proxy) as requests:
            result = occystrap('verify', 'receipts', f'--verify={level}', '-J', str(COUNT), '-j', '1').assert_success()
    assert f'{COUNT}/{COUNT} verified' in result.err.splitlines()[-1]
    assert least <= requests.most <= most
