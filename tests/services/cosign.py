"""cosign, which Debian 12 does not have: the program of Debian 13, which runs on both; without a transparency log."""

import subprocess
from pathlib import Path

from tests.services.trixie import trixie_program

VERSION = '1'
_PLAIN = '--allow-insecure-registry'


def cosign_program() -> Path:
    """The path of the cached program, fetched by the first who asks (seconds, once Debian 13 is there)."""
    return trixie_program('cosign', VERSION)


def make_keys(directory: Path) -> None:
    """Make `cosign.key` and `cosign.pub`, without a password."""
    _run(directory, 'generate-key-pair')


def sign(directory: Path, *references: str) -> None:
    """Sign images, named by digest, with the keys in the directory."""
    for reference in references:
        _run(directory, 'sign', '--key', 'cosign.key', '--tlog-upload=false', '--yes', _PLAIN, reference)


def tree(directory: Path, reference: str) -> str:
    """Return what cosign shows of the signatures of an image."""
    return _run(directory, 'tree', _PLAIN, reference)


def copy(directory: Path, source: str, destination: str) -> None:
    """Copy an image with its signatures."""
    _run(directory, 'copy', _PLAIN, source, destination)


def check(directory: Path, reference: str) -> None:
    """Verify the signature of an image with the public key in the directory."""
    _run(directory, 'verify', '--key', 'cosign.pub', '--insecure-ignore-tlog=true', _PLAIN, reference)


def _run(directory: Path, *arguments: str) -> str:
    environment = {'PATH': '/usr/bin:/bin', 'HOME': str(directory), 'COSIGN_PASSWORD': ''}
    done = subprocess.run([cosign_program(), *arguments], cwd=directory, env=environment, capture_output=True,
                          text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f'cosign {arguments[0]} ended with code {done.returncode}: {done.stderr.strip()}')
    return done.stdout
