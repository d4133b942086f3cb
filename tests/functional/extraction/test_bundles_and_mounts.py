"""Bundles that runtimes run, mounts that the kernel mounts: of the real image, against what Docker and umoci make."""
import os
import pickle
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.functional.images import exported
from tests.hostile.extraction.trees import Tree, read_tree
from tests.services.cache import built_once
from tests.services.command_line import CommandLine
from tests.services.directories import service_directory
from tests.services.docker_daemon import DockerDaemon
from tests.services.real_image import RealImage
from tests.services.registry import Registry
from tests.services.requirements import require_root

Attributes = dict[str, tuple[object, ...]]
MADE_BY_DOCKER = {'.dockerenv', 'dev', 'dev/console', 'dev/pts', 'dev/shm', 'etc', 'etc/hostname', 'etc/hosts',
                  'etc/mtab', 'etc/resolv.conf', 'proc', 'sys'}
"""What `docker create` puts into a container, with the directories whose times that changes."""


@pytest.fixture(scope='module')
def bundle(real_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real image as a bundle; tests do not change it."""
    with require_service(lambda: nullcontext(require_root('owners and devices of a real image'))):
        directory = tmp_path_factory.mktemp('bundle')
    source = f'registry://{real_registry.host}/real:v1'
    CommandLine(directory)('process', source, f'oci://{directory}/bundle').assert_success()
    return directory / 'bundle'


@pytest.fixture(scope='module')
def tree(bundle: Path) -> Tree:
    """What is in the bundle."""
    return read_tree(bundle / 'rootfs')


@pytest.fixture(scope='module')
def unpacked(tree: Tree) -> Attributes:
    """The same, as it is compared."""
    return compared(tree)


def compared(tree: Tree) -> Attributes:
    """Return all that must be the same for two trees to be the same, times of directories too."""
    return {path: (node.kind, node.mode, node.owner, node.size, node.digest, node.target, node.device, node.xattrs,
                   node.same, node.mtime if path != '.' else 0) for path, node in tree.items()}


def run_by(runtime: list[str], bundle: Path) -> str:
    """Return what a runtime's container says."""
    name = f'occystrap-test-{os.getpid()}'
    done = subprocess.run([*runtime, 'run', '-b', bundle, name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_runtimes_print_what_docker_prints(bundle: Path, real_image: RealImage, docker_with_real_image: DockerDaemon,
                                           program: Callable[..., str]) -> None:
    output = docker_with_real_image.run('run', '--rm', '--network', 'none', 'real:v1')
    assert output.strip() == real_image.greeting
    assert docker_with_real_image.run('inspect', '--format', '{{.Id}}', 'real:v1') == real_image.config_digest
    assert run_by([program('runc')], bundle).strip() == output.strip()
    crun = program('crun')
    script = 'umount -R /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup; for each in pids devices; do mkdir ' \
             '/sys/fs/cgroup/$each; mount -t cgroup -o $each none /sys/fs/cgroup/$each; done; exec "$@"'
    hybrid = os.path.exists('/sys/fs/cgroup/systemd')  # which crun refuses
    wrapper = [program('unshare', 'util-linux'), '-m', 'sh', '-c', script, 'sh'] if hybrid else []
    assert run_by([*wrapper, crun], bundle).strip() == output.strip()


@pytest.fixture
def unpacked_by_umoci(real_registry: Registry, real_image: RealImage, program: Callable[..., str]) -> Attributes:
    """What umoci makes of the real image, which takes it long and is always the same."""
    copy = [program('skopeo'), '--insecure-policy', 'copy', '-q', '--src-tls-verify=false']
    unpack = [program('umoci'), 'unpack', '--image']

    def build(directory: Path) -> None:
        with service_directory('umoci') as work:
            subprocess.run([*copy, f'docker://{real_registry.host}/real:v1', f'oci:{work}/layout:v1'], check=True)
            subprocess.run([*unpack, f'{work}/layout:v1', work / 'umoci'], check=True, capture_output=True)
            (directory / 'tree').write_bytes(pickle.dumps(compared(read_tree(work / 'umoci/rootfs'))))
    kept = built_once('umoci', f'1-{real_image.config_digest[-16:]}', build)
    tree: Attributes = pickle.loads((kept / 'tree').read_bytes())
    return tree


def test_the_bundle_is_what_umoci_unpacks(bundle: Path, unpacked: Attributes, unpacked_by_umoci: Attributes,
                                          occystrap: CommandLine) -> None:
    assert unpacked == unpacked_by_umoci
    occystrap('verify', f'oci://{bundle}', '--full').assert_success()


def test_the_bundle_is_what_docker_exports(tree: Tree, docker_with_real_image: DockerDaemon) -> None:
    theirs = {path: (each.mode, each.uid, each.gid, each.linkname if each.type == b'2' else '', each.size,
                     b'0' if each.type == b'1' else each.type)
              for path, each in exported(docker_with_real_image, 'real:v1').items()}
    types = {'file': b'0', 'directory': b'5', 'symlink': b'2', 'char': b'3', 'block': b'4', 'fifo': b'6'}
    ours = {path: (node.mode, *node.owner, node.target, node.size, types[node.kind])
            for path, node in tree.items() if path != '.'}
    linked = {path for path, node in tree.items() if len(node.same) > 1}
    assert ours.keys() - MADE_BY_DOCKER == theirs.keys() - MADE_BY_DOCKER
    assert {path: each for path, each in ours.items() if path not in MADE_BY_DOCKER | linked} == {
        path: each for path, each in theirs.items() if path not in MADE_BY_DOCKER | linked}


def test_a_daemons_stream_gives_the_same_bundle(bundle: Path, unpacked: Attributes, occystrap: CommandLine,
                                                docker_with_real_image: DockerDaemon, tmp_path: Path) -> None:
    source = f'docker://real:v1?socket={docker_with_real_image.socket}'
    occystrap('process', source, f'oci://{tmp_path}/other').assert_success()
    assert compared(read_tree(tmp_path / 'other/rootfs')) == unpacked
    names = ('config.json', '.occystrap/rootfs.mtree')
    assert all((tmp_path / 'other' / name).read_bytes() == (bundle / name).read_bytes() for name in names)


def test_mounted_layers_are_the_bundle(unpacked: Attributes, real_registry: Registry, occystrap: CommandLine,
                                       program: Callable[..., str], tmp_path: Path) -> None:
    source, mounts = f'registry://{real_registry.host}/real:v1', tmp_path / 'mounts'
    occystrap('process', source, f'mounts://{mounts}').assert_success()
    target = tmp_path / 'target'
    subprocess.run([mounts / 'mount.sh', target], check=True, capture_output=True)
    try:
        seen = compared(read_tree(target))
    finally:
        subprocess.run(['umount', target], check=True)
    assert seen == unpacked
