"""The command line within this process: the same from its words to its exit code, without a start-up each time."""
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from occystrap_core.cli.main import _run
from tests.services.command_line import CommandResult


def run_here(*arguments: str | Path) -> CommandResult:
    """Run `occystrap` with the arguments; for what is not about signals, limits or the end of the process."""
    words = tuple(map(str, arguments))
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = _run(list(words))
    return CommandResult(words, code, out.getvalue(), err.getvalue())
