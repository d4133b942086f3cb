"""What a bulk run must leave, whatever copied its images."""
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.command_line import CommandLine
from tests.services.requirements import EVERYTHING
from tests.services.sixty_images import COUNT, SixtyImages

COPIED = COUNT if EVERYTHING else 10
"""How many of the images are copied where all shared layers must be among them: eight of the ten are in three of 10."""


def mirror_at(host: str) -> str:
    """Return the destination that mirrors the images to a registry."""
    return f'registry://{host}/{{repository}}:{{tag}}'


@contextmanager
def assert_shared_once(sixty: SixtyImages) -> Iterator[None]:
    """Fail unless the block asks the source for each shared layer once, and for each manifest once."""
    before = len(sixty.registry.requests())
    yield
    asked = Counter[str]()
    for request in sixty.registry.requests()[before:]:
        method, path, _ = request.split()
        if found := re.search(r'/blobs/(sha256:\w+)$|/v2/(.*/manifests)/', path):
            asked[f'{method} {found[1] or found[2]}'] += 1
    assert {asked[f'GET {digest}'] for digest in sixty.shared} == {1}
    assert [count for what, count in asked.items() if what.endswith('/manifests') and what.startswith('GET ')
            ] == [1] * COPIED


def assert_all_there(occystrap: CommandLine, receipts: Path, count: int = COPIED) -> None:
    """Fail unless there is one receipt of each image, verified, and all are proved in full by a later look."""
    found = [json.loads(line) for line in receipts.read_text().splitlines()]
    assert len(found) == len({each['place'] for each in found}) == count
    assert {each['verdict']['outcome'] for each in found} == {'verified'}
    result = occystrap('verify', receipts, '--full').assert_success()
    assert f'{count}/{count} verified' in result.err.splitlines()[-1], result


def _content(path: Path) -> bytes:
    """Return the content of a file of a thread or process, empty if that has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b''


@dataclass
class BulkProcess:
    """A run under way: its process, and what it has said so far."""

    process: 'subprocess.Popen[bytes]'
    lines: list[str] = field(default_factory=list)

    def hear(self, start: str) -> str:
        """Read what it says up to a line that begins so; return that line."""
        assert self.process.stderr
        while line := self.process.stderr.readline().decode():
            self.lines.append(line.rstrip('\n'))
            if line.startswith(start):
                return line
        raise AssertionError('\n'.join(self.lines))

    def end(self, code: int = 0) -> str:
        """Wait for its end; return its last line. Fails unless it ends with that exit code."""
        assert self.process.stderr
        self.lines += self.process.stderr.read().decode().splitlines()
        assert self.process.wait(60) == code, '\n'.join(self.lines)
        return self.lines[-1]

    def workers(self) -> list[int]:
        """Return its worker processes."""
        threads = Path(f'/proc/{self.process.pid}/task').iterdir()  # each has the processes that it started
        return [int(each) for thread in threads for each in _content(thread / 'children').split()
                if b'spawn_main' in _content(Path(f'/proc/{int(each)}/cmdline'))]


@contextmanager
def bulk_process(occystrap: CommandLine, source: str, host: str, *options: str) -> Iterator[BulkProcess]:
    """Start a run to a registry, with receipts; it is killed if it is still there at the end of the block."""
    with occystrap.start('process', source, mirror_at(host), '--receipt', 'receipts',
                         *options, stderr=subprocess.PIPE) as process:
        try:
            yield BulkProcess(process)
        finally:
            process.kill()
