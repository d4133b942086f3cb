"""A filter that kills whoever copies the image `app-05`."""
import re
from pathlib import Path

from tests.services.command_line import CommandResult
from tests.services.plugin_directory import plugin_directory

_POISON = '''
import os
import signal
from occystrap_core import FilterKind, ImageFilter, hookimpl


class Poison(ImageFilter):
    repeatable = True

    def apply(self, image):
        if image.reference.repository.endswith('05'):
            os.kill(os.getpid(), signal.SIGKILL)
        return image


@hookimpl
def register_filters():
    return [FilterKind('poison', 'poison_plugin:Poison')]
'''


def poison_plugin(root: Path) -> Path:
    """Return a directory for PYTHONPATH that has the plugin."""
    return plugin_directory(root / 'poison', 'poison', _POISON)


def assert_one_is_poison(result: CommandResult, count: int) -> None:
    """The others arrived, and the line of this one names the three workers that died of it."""
    result.assert_code(1)
    failed = [line for line in result.err.splitlines() if line.startswith('FAILED ')]
    assert len(failed) == 1 and 'app-05' in failed[0], result
    workers = re.search(r'3 workers died while copying it: (.*)', failed[0])
    assert workers and len(set(re.findall(r'worker (\S+)', workers[1]))) == 3, failed
    assert result.err.splitlines()[-1].endswith(f'{count - 1}/{count} verified, 1 FAILED')
