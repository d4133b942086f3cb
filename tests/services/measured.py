"""Running the command line under GNU time, for its peak resident memory."""
import re
from pathlib import Path

from tests.services.command_line import CommandLine, CommandResult
from tests.services.requirements import require_program


def run_measured(command_line: CommandLine, *arguments: str | Path) -> tuple[CommandResult, float]:
    """Return the result and the peak resident memory in MB (10^6 bytes), children left out as GNU time does."""
    report = command_line.directory / 'time-report'
    wrapper = (require_program('time', 'time'), '-v', '-o', str(report))
    result = command_line(*arguments, wrapper=wrapper)
    found = re.search(r'Maximum resident set size \(kbytes\): (\d+)', report.read_text())
    assert found, report.read_text()
    return result, int(found[1]) * 1024 / 1e6
