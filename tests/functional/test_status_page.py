"""The page of a registry and of a proxy in a browser: what is pushed and pulled appears, with a script and without."""
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import ServiceError, Settings
from occystrap_core.oci.media_types import OCI_INDEX
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_registry.server.operations import with_operations
from occystrap_registry.server.server_thread import ServerSettings
from tests.conftest import require_service
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.browser import Browser, browser
from tests.services.command_line import CommandLine
from tests.services.proxied import proxied
from tests.services.served import served
from tests.unit.registry.images import HTTP, push

ROWS = 'document.querySelectorAll("tbody tr").length'


@pytest.fixture(scope='module')
def window() -> Iterator[Browser]:
    with require_service(browser) as opened:
        yield opened


def test_a_pushed_image_appears(window: Browser, occystrap: CommandLine, tmp_path: Path) -> None:
    write_docker_archive(tmp_path / 'a.tar', sample_config(sample_layers()), sample_layers(), 'app:v1')
    with served(occystrap, '--storage', tmp_path / 's') as registry:
        place = f'http://{registry.host}'
        window.resize(1280)
        window.open(place)
        window.wait_for('document.getElementById("connection").className === "live"')
        assert 'No image has been pushed' in window.run('return document.body.innerText')
        run_here('process', f'tar://{tmp_path}/a.tar', f'registry://{registry.host}/team/app:v1').assert_success()
        window.wait_for(f'{ROWS} === 1')
        HTTP.put(f'{place}/v2/team/app/manifests/lacking', headers={'Content-Type': OCI_INDEX}, json={
            'schemaVersion': 2, 'manifests': [{'mediaType': OCI_INDEX, 'size': 1, 'digest': f'sha256:{"0" * 64}'}]})
        window.run('return look().then(showTimes)')  # as it does every two seconds
        failed, stored = window.run('return [...document.querySelectorAll("tbody tr")].map(each => each.innerText)')
        assert failed.startswith('team/app:lacking') and 'team/app has no sha256:000' in failed and 'failed' in failed
        assert stored.startswith('team/app:v1') and 'stored' in stored and 'ago' in stored
        for width in (1280, 400):
            window.resize(width)
            assert window.run('return document.documentElement.scrollWidth <= innerWidth'), 'nothing is cut off'
        assert window.console() == []
        with window.without_scripts():
            window.open(place)
            assert '>team/app:v1<' in window.source() and 'http-equiv="refresh"' in window.source()


def test_an_image_that_passes_a_proxy_appears(window: Browser, tmp_path: Path) -> None:
    settings, _ = with_operations(ServerSettings(), 'occystrap proxy', 'for a registry', None)
    with proxied(tmp_path, ['normalize-timestamps'], upstream=True, served=settings) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        assert proxy.manifest('app').status_code == 200
        window.open(f'http://{proxy.host}')
        proxy.down.storage.fault = lambda kind, data: data[:-1]
        with pytest.raises(ServiceError):
            push(proxy.host, Settings(retries=0), sample_image(variant='other'), name='team/app:v2')
        window.run('return look().then(showTimes)')  # as it does every two seconds
        rows = window.run('return [...document.querySelectorAll("tbody tr")].map(each => each.innerText)')
        failed, pulled = rows[0], rows[-1]
        assert failed.startswith('team/app:v2') and 'push' in failed and 'failed' in failed
        assert pulled.startswith('app:v1') and 'pull' in pulled and 'verified' in pulled
        assert 'normalize-timestamps' in pulled and f'→ {proxy.down.host}/mirror/app:v1' in pulled
        for width in (1280, 400):
            window.resize(width)
            assert window.run('return document.documentElement.scrollWidth <= innerWidth'), 'nothing is cut off'
        assert window.console() == []
