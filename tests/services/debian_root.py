"""Debian root file systems, made with debootstrap from Debian's package mirror."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services.requirements import ServiceUnavailable, require_program, require_root

MIRROR = 'http://deb.debian.org/debian'


def debian_root(suite: str, directory: Path, include: Sequence[str]) -> None:
    """Fills `directory` with a minimal Debian `suite` and the packages of `include`; about half a minute.

    The environment variable DEBIAN_MIRROR names another mirror. Raises ServiceUnavailable if it fails.
    """
    require_root('debootstrap')
    mirror = os.environ.get('DEBIAN_MIRROR') or MIRROR
    command = [
        require_program('debootstrap', 'debootstrap'), '--variant=minbase', f'--include={",".join(include)}',
        suite, str(directory), mirror,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise ServiceUnavailable(f'debootstrap of {suite} from {mirror} failed: {done.stdout[-500:]}')
