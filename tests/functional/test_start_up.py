"""What the main jobs import: a module of ours of which nothing is called was imported for nothing.

That is counted, not timed: every module takes a fifth of a millisecond and more, and hardly anybody sees one more.
"""
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.unit.tar.archives import write

PROGRAM = '''
import json, sys, threading
called = set()

def note(frame, event, argument):
    if event == 'call' and frame.f_code.co_flags & 1:  # CO_OPTIMIZED: a function, and no module or class
        called.add(frame.f_code.co_filename)

sys.setprofile(note)
threading.setprofile(note)
import occystrap_core.__main__
from occystrap_core.cli.main import _run
code = _run(sys.argv[1:])
sys.setprofile(None)
slow = sorted({'httpx', 'httpcore', 'h11', 'h2', 'asyncio', 'requests', 'zipfile',
               'encodings.idna'} & set(sys.modules))
ours = {name: module.__file__ for name, module in list(sys.modules.items())
        if name.startswith('occystrap_') and module.__file__}
idle = [name for name, path in ours.items() if path not in called and 'def ' in open(path).read()]
print(json.dumps([code, len(ours), sorted(idle), slow]))
'''
JOBS = {
    'help': (['--help'], 43),
    'info': (['info', 'registry://{host}/app:v1'], 119),
    'dir': (['process', 'registry://{host}/app:v1', 'dir://{to}/out'], 211),
    'tar': (['process', 'registry://{host}/app:v1', 'tar://{to}/out.tar'], 211),
    'layout': (['process', 'registry://{host}/app:v1', 'layout://{to}/out'], 217),
    'oci': (['process', 'registry://{host}/app:v1', 'oci://{to}/out'], 237),
    'registry': (['process', 'registry://{host}/app:v1', 'registry://{host}/copy:v1'], 196),
}
"""The arguments of each job, and how many modules of ours it may import."""
NEEDED = {
    'occystrap_core': '''api.hookspecs api.image_list api.place api.schemes api.selection_options api.uri cli.completion
        cli.completion_command cli.signals errors files.compression files.device files.durability files.held_bytes
        files.kept_beside files.locks files.partial_file files.readahead files.stream files.temporary_file
        image.artifact image.entry_platforms image.sequential_image layers.layer_order layers.recompression
        name_memory oci.index_file oci.layout oci.named_images orders plugins.blame receipts.kept_receipts tar.entry
        tar.path_keys tar.pax tar.sparse terminal terminal_text''',
    'occystrap_dir': '''directory.orphans file_list.acl file_list.unchanged layout.unnamed workspace.group_commit
        workspace.kept_blobs workspace.locks workspace.partial_files workspace.run_marks workspace.workspace
        workspace.workspace_file''',
    'occystrap_registry': 'distribution.blobs distribution.chunked_upload distribution.pages distribution.referrers',
    'occystrap_tar': 'archive.tar_sizes',
}
"""Modules that are imported for a type, a constant, a base class, or what happens at the end of some runs."""


@pytest.fixture(scope='module')
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that has one image."""
    with RegistryServer(tmp_path_factory.mktemp('registry')) as server:
        write(sample_image(), f'registry://{server.host}/app:v1')
        yield server.host


@pytest.mark.parametrize('job', JOBS)
def test_a_job_imports_what_it_calls(job: str, host: str, tmp_path: Path) -> None:
    words, most = JOBS[job]
    arguments = [word.format(host=host, to=tmp_path) for word in words]
    done = subprocess.run([sys.executable, '-c', PROGRAM, *arguments], capture_output=True, text=True)
    code, count, idle, slow = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    needed = {f'{package}.{name}' for package, names in NEEDED.items() for name in names.split()}
    assert sorted(set(idle) - needed) == [], 'import these where they are used, or under TYPE_CHECKING'
    assert count <= most, f'{count} modules'
    assert slow == [], 'these take long to import, and are needed by few runs'
