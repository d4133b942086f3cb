"""Very many images in one destination: what is written for each does not grow with their number."""
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_dir.workspace.workspace import Workspace
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.unit.registry.images import push

COUNT = 240


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings(), sample_image('app:v1'), 'app:v1')
        yield server.host


def written(path: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Mirror one image under many names; return how often each document of the destination was written."""
    total: Counter[str] = Counter()
    rename = Workspace._rename

    def renamed(self: Workspace, partial: str, name: str) -> None:
        total[name] += 1
        rename(self, partial, name)
    monkeypatch.setattr(Workspace, '_rename', renamed)
    (path / 'plan.toml').write_text(''.join(
        f"[[images]]\nsource = 'registry://{host}/app:v1'\ndestination = 'layout://{path}/mirror:n{number}'\n"
        for number in range(COUNT)))
    result = run_here('process', f'plan://{path}/plan.toml', '--no-sync', '-q', '-J', '8').assert_code(0)
    assert result.err.splitlines()[-1].endswith(f'{COUNT}/{COUNT} verified')
    return total


def test_the_list_of_a_layout_is_written_for_many_at_once(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          ) -> None:
    """That it is linear shows tests/unit/dir/test_group_commit.py."""
    total = written(tmp_path, host, monkeypatch)
    assert total['index.json'] < COUNT / 4
    assert sum(name.startswith('.occystrap/receipts/') for name in total) == COUNT
    index = json.loads((tmp_path / 'mirror/index.json').read_text())
    assert len(index['manifests']) == COUNT and run_here('verify', f'layout://{tmp_path}/mirror').code == 0
