"""Every official verifier uses the worker threads of the run, -j of them, however many images are verified."""
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from occystrap_core import Receipt, Settings, VerifyLevel
from occystrap_core.cli import verify
from occystrap_core.plugins.manager import Plugins
from occystrap_core.report.run_report import RunReport
from tests.hostile.in_process import run_here
from tests.unit.tar.archives import docker_members, write_tar

_COORDINATORS = ('image', 'verification', 'part', 'read-ahead', 'signals', 'progress')
"""Threads that only wait for the workers or write lines, and those that read ahead for one of them."""


@pytest.mark.parametrize('destination', ['dir://{}?unique_names=true', 'dir://{}?unique_names=true&expand=true',
                                         'layout://{}', 'tar://{}/{{name}}.tar', 'mounts://{}', 'oci://{}/{{name}}'])
def test_no_verifier_has_threads_of_its_own(destination: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, start = list[str](), threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)
    (tmp_path / 'out').mkdir()
    for number in range(6):
        write_tar(tmp_path / f'{number}.tar', docker_members(tags=(f'app{number}:v1',)))
    (tmp_path / 'list').write_text(''.join(f'tar://{tmp_path}/{number}.tar\n' for number in range(6)))
    monkeypatch.setattr(threading.Thread, 'start', starting)
    run_here('process', f'list://{tmp_path}/list', destination.format(tmp_path / 'out'), '-J', '4', '-j', '2',
             '--verify=full', '--receipt', tmp_path / 'receipts').assert_code(0)
    assert {name for name in started if not name.startswith(_COORDINATORS)} == {'worker-0', 'worker-1'}
    started.clear()
    run_here('verify', tmp_path / 'receipts', '-J', '4', '-j', '2', '--full').assert_code(0)
    assert {name for name in started if not name.startswith(_COORDINATORS)} <= {'worker-0', 'worker-1'}


@pytest.mark.parametrize(('level', 'images'), [('--verify=fast', 32), ('--full', 8)])
def test_more_images_are_looked_at_than_read_at_once(level: str, images: int, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    asked, verify_all = list[int](), verify.verify_all

    def looking(plugins: Plugins, receipts: Sequence[Receipt], level: VerifyLevel, settings: Settings,
                report: RunReport) -> None:
        asked.append(settings.images)
        verify_all(plugins, receipts, level, settings, report)
    monkeypatch.setattr(verify, 'verify_all', looking)
    write_tar(tmp_path / 'a.tar', docker_members())
    run_here('process', f'tar://{tmp_path}/a.tar', f'layout://{tmp_path}/out').assert_success()
    run_here('verify', f'layout://{tmp_path}/out', level).assert_success()
    assert asked == [images]
