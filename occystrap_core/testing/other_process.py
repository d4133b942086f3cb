"""Verifying in another process, which knows nothing of an image but the JSON of its receipt."""
import json
import subprocess
import sys
from collections.abc import Sequence

from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.terminal import print_json
from occystrap_core.testing.tested_plugin import plugins_with
from occystrap_core.verification.receipt import Receipt

_PATH = 'import json, sys; sys.path[:] = json.loads(sys.argv[1]); '
_START = 'from occystrap_core.testing import other_process; other_process.answer(sys.argv[2])'


def output_of(code: str, given: str, *arguments: str) -> str:
    """Return what a new process prints that runs some code of Python in `/`, and finds what we import."""
    command = [sys.executable, '-c', _PATH + code, json.dumps(sys.path), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd='/', check=False)
    assert done.returncode == 0, f'another process fails: {done.stderr[-2000:]}'
    return done.stdout


def verdicts_elsewhere(plugin: str, receipts: Sequence[Receipt]) -> list[str]:
    """Return for each receipt `verified` if it is at both levels, otherwise what is wrong; all are verified in one new
    process."""
    asked = '\n'.join(each.to_json() for each in receipts)
    found: list[str] = json.loads(output_of(_START, asked, plugin))['verdicts']
    return found


def answer(plugin: str) -> None:
    """Verify the receipts on stdin; print what was found as JSON."""
    plugins, settings, found = plugins_with(plugin), Settings(), []
    for line in sys.stdin.read().splitlines():
        receipt = Receipt.from_json(line)
        verdicts = [verify_receipt(plugins, receipt, level, settings) for level in (VerifyLevel.FAST, VerifyLevel.FULL)]
        problems = [str(each) for verdict in verdicts for each in verdict.problems]
        found.append('; '.join(problems) or 'verified')
    settings.shared.close()
    print_json({'verdicts': found})
