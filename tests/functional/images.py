"""The images that functional tests move, and the places that they move between."""
import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.registry import Registry

SCHEMES = ('registry', 'tar', 'docker', 'dir')


@dataclass(frozen=True)
class MovableImage:
    """One image at all four kinds of source: `sources` maps the scheme to the URI."""

    name: str
    image_id: str
    manifest_digest: str
    layers: int
    sources: dict[str, str]


@dataclass(frozen=True)
class Places:
    """Where destinations are: a registry, a daemon, a directory of the test."""

    registry: Registry
    daemon: DockerDaemon
    directory: Path

    def uri(self, scheme: str, name: str) -> str:
        """Return a destination for one test; `name` is a repository's."""
        return {
            'registry': f'registry://{self.registry.host}/{name}:v1',
            'docker': f'docker://{name}:v1?socket={self.daemon.socket}',
            'tar': f'tar://{self.directory}/out.tar',
            'dir': f'dir://{self.directory}/out',
        }[scheme]

    @contextmanager
    def fresh(self, scheme: str, name: str) -> Iterator[str]:
        """Give a destination, and remove from the daemon what came there."""
        try:
            yield self.uri(scheme, name)
        finally:
            if scheme == 'docker':
                subprocess.run(['docker', '-H', self.daemon.address, 'rmi', f'{name}:v1'], capture_output=True)


def prepare_sources(name: str, origin: str, directory: Path, daemon: DockerDaemon, archive: Path | None = None,
                    ) -> dict[str, str]:
    """Return the image at every kind of source, made by tools other than occystrap.

    The directory is the exception, since only occystrap writes those. With an archive the daemon has the image already.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if archive is None:
        archive = _archive_by_skopeo(name, origin, directory / 'source.tar')
        daemon.run('load', '-i', archive)
    CommandLine(directory)('process', f'registry://{origin}', f'dir://{directory}/source').assert_success()
    return {'registry': f'registry://{origin}', 'tar': f'tar://{archive}', 'dir': f'dir://{directory}/source',
            'docker': f'docker://{name}?socket={daemon.socket}'}


def _archive_by_skopeo(name: str, origin: str, archive: Path) -> Path:
    skopeo('copy', '--src-tls-verify=false', f'docker://{origin}', f'docker-archive:{archive}:{name}')
    return archive


def skopeo(*arguments: str | Path) -> str:
    """Run skopeo, the independent witness, and return its standard output; raises CalledProcessError."""
    command = ['skopeo', '--insecure-policy', *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f'{command}: {done.stderr}'
    return done.stdout


def raw_manifest(registry: Registry, name: str) -> bytes:
    """Return the manifest that skopeo gets for a tag, byte for byte."""
    command = ['skopeo', 'inspect', '--raw', '--tls-verify=false', f'docker://{registry.host}/{name}']
    return subprocess.run(command, capture_output=True, check=True).stdout


class Exported(NamedTuple):
    """What `docker export` says of a path; `mode` are the permissions."""

    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    linkname: str
    mtime: float


@cache
def exported(daemon: DockerDaemon, name: str) -> dict[str, Exported]:
    """Return all that a container of the image has, by path; of an image that keeps its name, since it is kept."""
    container = daemon.run('create', '--network', 'none', name, 'none')
    export = subprocess.Popen(['docker', '-H', daemon.address, 'export', container], stdout=subprocess.PIPE)
    with tarfile.open(fileobj=export.stdout, mode='r|', errors='surrogateescape') as tar:
        found = {each.name.removeprefix('./'): Exported(each.type, each.mode & 0o7777, each.uid, each.gid, each.size,
                                                        each.linkname, each.mtime) for each in tar}
    assert export.wait() == 0
    daemon.run('rm', container)
    return found


def image_id_in_daemon(daemon: DockerDaemon, name: str) -> str:
    """Return the ID by which the daemon knows a tag."""
    return str(json.loads(daemon.run('image', 'inspect', name))[0]['Id'])
