"""Very many images in one destination: what is written for each does not grow with their number."""
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_dir.workspace.workspace import Workspace
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.unit.registry.images import push, put_manifest

COUNT = 120


@pytest.fixture(scope='module')
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with one image under many tags."""
    manifest = sample_image('app:v1').manifest
    assert manifest
    with RegistryServer(tmp_path_factory.mktemp('registry')) as server:
        push(server.host, Settings(), sample_image('app:v1'), 'app:n0')
        for number in range(1, COUNT):
            put_manifest(server.host, manifest.raw, f'n{number}', manifest.media_type, 'app')
        yield server.host


@pytest.mark.parametrize(('kind', 'listed', 'place'), [
    ('layout', 'index.json', 'layout://{}/mirror:n{}'), ('dir', 'catalog.json', 'dir://{}/mirror?unique_names=true')])
def test_the_list_of_images_is_written_for_many_at_once(kind: str, listed: str, place: str, host: str, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is linear shows tests/unit/dir/test_group_commit.py."""
    written: Counter[str] = Counter()
    rename = Workspace._rename

    def renamed(self: Workspace, partial: str, name: str) -> None:
        written[name] += 1
        rename(self, partial, name)
    monkeypatch.setattr(Workspace, '_rename', renamed)
    (tmp_path / 'plan.toml').write_text(''.join(
        f"[[images]]\nsource = 'registry://{host}/app:n{number}'\ndestination = '{place.format(tmp_path, number)}'\n"
        for number in range(COUNT)))
    result = run_here('process', f'plan://{tmp_path}/plan.toml', '--no-sync', '-q', '-J', '8').assert_code(0)
    assert result.err.splitlines()[-1].endswith(f'{COUNT}/{COUNT} verified')
    assert 0 < written[listed] < COUNT / 4
    assert sum(name.startswith('.occystrap/receipts/') for name in written) == COUNT
    again = run_here('verify', f'{kind}://{tmp_path}/mirror', '-O', 'json').assert_code(0).json()
    assert len(again['images']) == COUNT
