"""What `process --resume FILE` needs, with an executor or without, for a file of many receipts, before the first image.

    python -m benchmarks.many_receipts 1000000

Prints a line: receipts, their bytes, processor seconds for reading them, memory of the process at its most. Another
process makes them, each for another destination and sealed, and sends them through a named pipe, so that no file of
gigabytes is needed.
"""
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bulk_orders import peak_memory  # noqa: E402
from occystrap_core.receipts.receipt_index import ReceiptIndex  # noqa: E402
from occystrap_core.tasks.earlier_run import receipt_key  # noqa: E402


def make(path: str, count: int) -> None:
    """Write so many receipts, of an image with three layers."""
    from occystrap_core import Settings, VerifyLevel
    from occystrap_core.pipeline.run import Run
    from occystrap_core.report.progress import Progress
    from occystrap_core.verification.receipt import Receipt
    from tests.unit.core.pipeline.memory import memory_plugins, offer
    report = Run(memory_plugins(), Settings(), VerifyLevel.FAST, Progress()).process(offer('one'), 'memory://shelf')
    receipt = report.images[0].recorded
    assert isinstance(receipt, Receipt)
    with open(path, 'w') as file:
        for number in range(count):
            where = f'mirror.example/team-{number % 1000}/app-{number}:v1'
            file.write(f'{replace(receipt, scheme="registry", path=where, place=where).to_json()}\n')


def main(count: int) -> None:
    """Read so many receipts."""
    with tempfile.TemporaryDirectory() as directory:
        os.mkfifo(pipe := f'{directory}/receipts')
        with subprocess.Popen([sys.executable, __file__, str(count), pipe]) as maker:
            started = time.process_time()
            earlier = ReceiptIndex(pipe, receipt_key)
            seconds = time.process_time() - started
        assert maker.returncode == 0 and len(earlier) == count
        print(f'{count} receipts of {max(earlier._offsets.values()) / (count - 1):.0f} bytes: {seconds:.1f} s of the '
              f'processor, {peak_memory():.0f} MiB')
        earlier.close()


if __name__ == '__main__':
    if len(sys.argv) > 2:
        make(sys.argv[2], int(sys.argv[1]))
    else:
        main(int(sys.argv[1]))
