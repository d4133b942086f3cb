"""Places of a run's images that would destroy another one."""
from pathlib import Path

import pytest

from occystrap_core import Place, Settings, UsageError
from occystrap_core.oci import Reference
from occystrap_core.tasks import task_places
from occystrap_core.tasks.task_list import TaskList
from tests.services.installed import installed_plugins
from tests.unit.core.pipeline.memory import MemoryInput, memory_plugins, offer
from tests.unit.tar.archives import docker_members, write_tar


@pytest.mark.parametrize(('lies', 'goes', 'refused'), [
    ('T/blobs/a.tar', 'layout://{}/T', True), ('T/a.tar', 'oci://{}/T', True),
    ('T/other/a.tar', 'layout://{}/T', False), ('a.tar', 'oci://{}/T', False)])
def test_a_source_is_not_within_what_its_destination_replaces(lies: str, goes: str, refused: bool, tmp_path: Path,
                                                              ) -> None:
    (tmp_path / lies).parent.mkdir(parents=True, exist_ok=True)
    source = f'tar://{write_tar(tmp_path / lies, docker_members())}'
    with TaskList(installed_plugins(), Settings()) as tasks:
        if not refused:
            tasks.expand(source, goes.format(tmp_path), ())
            return
        with pytest.raises(UsageError, match=f'{lies} lies within .*/T, a destination of the same run, which may '
                                             'replace it: choose a place beside it'):
            tasks.expand(source, goes.format(tmp_path), ())


class Service(MemoryInput):
    """Has its images at no path."""

    def place(self, reference: Reference) -> Place:
        return Place('', str(reference))


def test_destinations_are_not_looked_at_if_no_source_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*_: object) -> None:
        pytest.fail('destinations were looked at')
    monkeypatch.setattr(task_places, 'kept_paths', looked)
    plugins = memory_plugins(source='tests.unit.core.tasks.test_task_places:Service', keeps='*')
    with TaskList(plugins, Settings()) as tasks:
        tasks.expand(offer('one', 'two'), 'memory://to/{repository}', ())
        assert len(tasks.tasks) == 2
