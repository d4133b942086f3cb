"""Times starting up: `python -m benchmarks.start_up`. `occystrap --help` may take twice what importing click takes."""
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 31
OURS = str(Path(sys.executable).with_name('occystrap'))
COMMANDS = {
    "python -c 'import click'": [sys.executable, '-c', 'import click'],
    'occystrap --help': [OURS, '--help'],
    'occystrap --version': [OURS, '--version'],
    'occystrap plugins': [OURS, 'plugins'],
}


def seconds(command: list[str]) -> float:
    """Return the wall time of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Run all in turn and print medians."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    base = statistics.median(next(iter(taken.values())))
    print('| command | median ms | as a multiple of the first |\n| --- | --- | --- |')
    for name, times in taken.items():
        median = statistics.median(times)
        print(f'| `{name}` | {median * 1000:.0f} | {median / base:.2f} |')


if __name__ == '__main__':
    main()
