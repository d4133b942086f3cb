"""Bulk runs: sixty images on threads, on processes: each shared layer crosses the wire once, each receipt holds."""
from pathlib import Path

import pytest

from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.sixty_images import COUNT, SixtyImages
from tests.functional.scale.bulk import asked_since, assert_all_there, mirror_at

EXECUTORS = ('local', 'processes:workers=3')


@pytest.mark.parametrize('executor', EXECUTORS)
def test_sixty_images(executor: str, sixty: SixtyImages, destination: Registry, occystrap: CommandLine, tmp_path: Path,
                      ) -> None:
    before = len(sixty.registry.requests())
    result = occystrap('process', sixty.listed(tmp_path), mirror_at(destination.host),
                       '--executor', executor, '--receipt', 'receipts').assert_success()
    assert result.err.splitlines()[-1].endswith(f', {COUNT}/{COUNT} verified'), result
    asked = asked_since(sixty, before)
    assert {asked[f'GET {digest}'] for digest in sixty.shared} == {1}
    assert sum(count for what, count in asked.items() if what.startswith('GET manifest ')) == COUNT
    assert_all_there(occystrap, tmp_path / 'receipts')
