"""Who follows a page: a shell in a directory of its own, whose hosts are services of this machine."""
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.functional.pages.blocks import Page
from tests.services.command_line import CommandLine
from tests.services.ports import LOOPBACK, free_port
from tests.services.registry import Registry
from tests.services.shell_commands import ShellCommands

WITHOUT_ROOT = '''without_root() (
    cd "$USER_DIRECTORY"
    export HOME=$PWD XDG_RUNTIME_DIR=$PWD
    exec setpriv --reuid=65534 --regid=65534 --clear-groups bash -o pipefail -exc "$(cat)"
)
'''
STRICT = ('-o', 'pipefail', '-exc')
DIRECTORIES = ('srv', 'mnt', 'media', 'backup', 'var/tmp')
LISTENS = '127.0.0.1:5000'


@dataclass(frozen=True)
class Reader:
    """`near` and `far` are the registries of the pages: one to read from, and one, empty, to write to."""

    directory: Path
    shells: ShellCommands
    near: Registry
    far: Registry

    def follow(self, page: Page, services: Mapping[str, str]) -> None:
        """Run the commands of a page in one shell, with the variables of services; none may fail."""
        for name in DIRECTORIES:
            (self.directory / name / 'usb').mkdir(parents=True)
        (self.directory / 'images.txt').write_text(''.join(
            f'{self.near.host}/team/{name}\n' for name in ('app:v1.1', 'app:v1.2', 'base:1.2')))
        path = f'{services["BIN"]}:{self.shells.directory}:{os.environ["PATH"]}:/usr/sbin:/sbin'
        environment = {**CommandLine(self.directory).environment(), **services, 'PATH': path}
        apart = ('unshare', '-m') if os.geteuid() == 0 else ()  # what a page mounts is gone with its shell
        command = [*apart, 'bash', *STRICT, WITHOUT_ROOT + self._here(page)]
        (self.directory / 'typed').write_text('secret\nsecret\n')
        with (self.directory / 'typed').open() as typed:
            try:
                done = subprocess.run(command, cwd=self.directory, env=environment, stdin=typed, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, timeout=240, start_new_session=True)
                assert done.returncode == 0, f'{page.name}:\n{done.stdout}'
            finally:
                self.shells.stop()
        for words in page.said:
            assert words in done.stdout, done.stdout

    def _here(self, page: Page) -> str:
        """Return the commands with names of this machine, each so that the shell ends where it must not go on."""
        names = {**self._names(), **page.names}
        found = '|'.join(re.escape(each) for each in sorted(names, key=len, reverse=True))
        text = re.sub(found, lambda name: names[name[0]], page.script())
        text = '\n'.join(map(_strict, text.splitlines()))
        return re.sub(r'(\boccystrap (?:serve|proxy)\b)(?!.*--listen)', rf'\1 --listen {names[LISTENS]}', text)

    def _names(self) -> dict[str, str]:
        """Return what stands for names of the pages."""
        near, far, port = self.near.host, self.far.host, free_port()
        return {
            **dict.fromkeys(('registry.example', 'registry.example:5000', 'registry.example.com'), near),
            **dict.fromkeys(('mirror.example', 'registry.far.example'), far),
            **{f'{name}.example': f'{far}/{name}' for name in ('one', 'two', 'other')},
            **{f'/{name}/': f'{self.directory}/{name}/' for name in DIRECTORIES},
            'quay.io': f'{near}/quay', '//D/': f'//{far}/', 'process busybox:': f'process {near}/library/busybox:',
            LISTENS: f'{LOOPBACK}:{port}', '0.0.0.0:5000': f'0.0.0.0:{port}'}


def _strict(line: str) -> str:
    """Return a line that also ends the shell after a failure that `bash -e` lets pass.

    Behind `!` a command must, and before `|| true` it may, exit with 1, as what compares does where things differ; with
    2 it has not compared. What stands before `&&` must not fail.
    """
    if line.startswith('! '):
        return f'code=0; {{ {line[2:]}\n}} || code=$?; test $code = 1'
    if either := re.fullmatch(r'(.*) \|\| true', line):
        return f'{{ {either[1]}\n}} || test $? = 1'
    if ' && ' in line and ' || ' not in line:
        return f'{{ {line}\n}} || exit'
    return line
