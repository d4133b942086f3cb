"""What a service needs of the machine, and the one error that says that it is not there."""

import os
import shutil
import subprocess

EVERYTHING = os.environ.get('OCCYSTRAP_TEST_ALL') == '1'
"""Whether tests try all that they can, which takes hours; else what finds the same faults in ten minutes."""


class ServiceUnavailable(Exception):
    """The service cannot run on this machine; the message is one line that says why."""


def require_program(name: str, package: str = '') -> str:
    """The path of the program `name`, also from the sbin directories that a plain user has not in PATH.

    Raises ServiceUnavailable, which names the Debian package (by default called like the program).
    """
    path = shutil.which(name) or shutil.which(name, path='/usr/local/sbin:/usr/sbin:/sbin')
    if path is None:
        raise ServiceUnavailable(f'{name} is not installed: apt-get install {package or name}')
    return path


def require_root(what: str) -> None:
    """Raises ServiceUnavailable unless this process is root."""
    if os.geteuid() != 0:
        raise ServiceUnavailable(f'{what} needs root: run the tests as root')


def require_user_namespaces() -> str:
    """The path of `unshare`. Raises ServiceUnavailable unless it can make a user namespace, as in a chroot."""
    program = require_program('unshare', 'util-linux')
    tried = subprocess.run([program, '-r', 'true'], capture_output=True, text=True)
    if tried.returncode:
        raise ServiceUnavailable(f'no user namespace can be made here: {tried.stderr.strip()}')
    return program
