"""Root of a user namespace may not have the owners of an image, and is told what helps."""
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.extraction.stacks import file, layer, save_image
from tests.services.command_line import CommandLine
from tests.services.requirements import require_program, require_root


@pytest.mark.parametrize('uri', ['oci://out', 'mounts://out', 'dir://out?expand=true'])
def test_owners_that_the_namespace_lacks(uri: str, tmp_path: Path, occystrap: CommandLine) -> None:
    require_root('the caller has to be in the namespace')
    save_image(tmp_path / 'a.tar', layer(file('etc/shadow', b'f', uid=5, gid=6)))
    command = [require_program('unshare', 'util-linux'), '-r', sys.executable, '-m', 'occystrap_core', 'process',
               'tar://a.tar']
    environment = occystrap.environment()
    done = subprocess.run([*command, uri], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done
    assert 'its owner 5:6 is none of this user namespace: rootless=true' in done.stderr
    assert '(at etc/shadow)' in done.stderr and not (tmp_path / 'out').exists()
    rootless = f'{uri}{"&" if "?" in uri else "?"}rootless=true'
    subprocess.run([*command, rootless, '--verify=full'], cwd=tmp_path, env=environment, check=True)
