"""The command line within this process: the same from its words to its exit code, without a start-up each time."""
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from occystrap_core.cli.main import _run
from tests.services.command_line import CommandResult
from tests.services.installed import installed_plugins


def run_here(*arguments: str | Path) -> CommandResult:
    """Run `occystrap` with the arguments; for what is not about signals, limits or the end of the process."""
    words = tuple(map(str, arguments))
    out, err = io.StringIO(), io.StringIO()
    with (redirect_stdout(out), redirect_stderr(err), _log_as_before(),
          patch('occystrap_core.cli.common.build_plugin_manager', installed_plugins)):
        code = _run(list(words))
    return CommandResult(words, code, out.getvalue(), err.getvalue())


@contextmanager
def _log_as_before() -> Iterator[None]:
    """Take away what --debug adds to the log, for the next command in this process."""
    log = logging.getLogger('occystrap')
    handlers, level = list(log.handlers), log.level
    try:
        yield
    finally:
        log.handlers[:] = handlers
        log.setLevel(level)
