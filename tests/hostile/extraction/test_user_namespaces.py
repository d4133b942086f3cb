"""Root of a user namespace may not have the owners of an image, and is told what helps."""
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.hostile.extraction.stacks import file, layer, save_image
from tests.services.command_line import CommandLine
from tests.services.requirements import require_root, require_user_namespaces


@pytest.fixture
def unshare() -> Iterator[str]:
    """The program that makes a user namespace, where one can be made."""
    require_root('the caller has to be in the namespace')
    with require_service(lambda: nullcontext(require_user_namespaces())) as found:
        yield found


@pytest.mark.parametrize('uri', ['oci://out', 'mounts://out', 'dir://out?expand=true'])
def test_owners_that_the_namespace_lacks(uri: str, unshare: str, tmp_path: Path, occystrap: CommandLine) -> None:
    save_image(tmp_path / 'a.tar', layer(file('etc/shadow', b'f', uid=5, gid=6)))
    command = [unshare, '-r', sys.executable, '-m', 'occystrap_core', 'process', 'tar://a.tar']
    environment = occystrap.environment()
    done = subprocess.run([*command, uri], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done
    assert 'its owner 5:6 is none of this user namespace: rootless=true' in done.stderr
    assert '(at etc/shadow)' in done.stderr and not (tmp_path / 'out').exists()
    rootless = f'{uri}{"&" if "?" in uri else "?"}rootless=true'
    subprocess.run([*command, rootless, '--verify=full'], cwd=tmp_path, env=environment, check=True)
