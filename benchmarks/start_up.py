"""Times starting up, beside importing click: `python -m benchmarks --parts start`.

`process` is timed up to its first request, to a port where nobody listens.
"""
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.turns import Job, Measured, chosen, in_turn

OURS = str(Path(sys.executable).with_name('occystrap'))
_MORE = 3
"""Starts are short: so many times the rounds of other jobs."""
JOBS = [
    Job('help', {'occystrap --help': lambda to, _: [OURS, '--help'],
                 "python -c 'import click'": lambda to, _: [sys.executable, '-c', 'import click']}),
    Job('version', {'occystrap --version': lambda to, _: [OURS, '--version']}),
    Job('process up to its first request', {
        'occystrap process': lambda to, _: [
            'sh', '-c', f'! {OURS} -q process registry://127.0.0.1:9/a tar://{to}/a.tar --retries=0 2>/dev/null']}),
]


def measured(words: Sequence[str], rounds: int) -> Iterator[Measured]:
    """Yield what each program took at the jobs whose names contain one of the words, all without words."""
    for job in chosen(JOBS, words):
        yield Measured(job.name, in_turn(job, _MORE * rounds))
