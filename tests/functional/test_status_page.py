"""The page of `occystrap serve` in a browser: what is pushed appears, with a script and without."""
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core.oci.media_types import OCI_INDEX
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.conftest import require_service
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.browser import Browser, browser
from tests.services.command_line import CommandLine
from tests.services.served import served
from tests.unit.registry.images import HTTP

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
        window.wait_for(f'{ROWS} === 2')
        failed, stored = window.run('return [...document.querySelectorAll("tbody tr")].map(each => each.innerText)')
        assert failed.startswith('team/app:lacking') and 'team/app has no sha256:000' in failed and 'failed' in failed
        assert stored.startswith('team/app:v1') and 'stored' in stored and 'ago' in stored
        for width in (1280, 400):
            window.resize(width)
            assert window.run('return document.documentElement.scrollWidth <= innerWidth'), 'nothing is cut off'
        assert window.console() == []
        window.without_scripts()
        window.open(place)
        assert '>team/app:v1<' in window.source() and 'http-equiv="refresh"' in window.source()
