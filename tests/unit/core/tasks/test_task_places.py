"""Places of a run's images that would destroy another one."""
from pathlib import Path

import pytest

from occystrap_core import Settings, UsageError
from occystrap_core.tasks.task_list import TaskList
from tests.services.installed import installed_plugins
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
