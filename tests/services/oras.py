"""oras, which Debian 12 does not have: the program of Debian 13, which runs on both."""

import subprocess
from pathlib import Path

from tests.services.cache import built_once
from tests.services.requirements import ServiceUnavailable
from tests.services.trixie import run_in_trixie

VERSION = '1'
FETCH = 'cd /srv; apt-get -qq update; apt-get -qq download oras; dpkg -x oras_*.deb unpacked; rm oras_*.deb'


def oras_program() -> Path:
    """The path of the cached program, fetched by the first who asks (seconds, once Debian 13 is there)."""
    program = built_once('oras', VERSION, _fetch) / 'unpacked/usr/bin/oras'
    try:
        subprocess.run([program, 'version'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise ServiceUnavailable(f'oras of Debian 13 does not run here: {problem}') from None
    return program


def _fetch(directory: Path) -> None:
    try:
        run_in_trixie(directory, 'sh', '-ec', FETCH)
    except RuntimeError as problem:
        raise ServiceUnavailable(f'oras cannot be fetched: {problem}') from None
