"""SHA256SUMS of a directory: sha256sum itself accepts it, damage is seen, and it stays current."""
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import Image, InvalidImage, Location, OutputError, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_image, sample_layers
from occystrap_dir.directory.checksums import CHECKSUMS, read_checksums, write_checksums
from occystrap_dir.directory.writer import DirOutput
from tests.services.requirements import EVERYTHING
from tests.unit.dir.directories import content, copy, findings, write
from tests.unit.dir.test_at_once import in_processes, kept_receipts
from tests.unit.dir.test_rerun import breaking

LAYER = f'{Digest.of(sample_layers()[0]).hex}/layer.tar'


def write_summed(directory: Path, image: Image | None = None, unique: bool = False) -> Receipt:
    """Copies an image into a directory with the option checksums."""
    given = {'checksums': 'true', **({'unique_names': 'true'} if unique else {})}
    settings = Settings(sync=False)
    location = Location('dir', str(directory), {'unique_names': unique, 'checksums': True}, given)
    return copy(image, DirOutput(location, settings), settings)


def sha256sum(directory: Path) -> tuple[int, list[str]]:
    """What `sha256sum -c` says within the directory: its exit code, and what it did not find well."""
    done = subprocess.run(['sha256sum', '--strict', '-c', CHECKSUMS], cwd=directory, capture_output=True, text=True)
    return done.returncode, [line for line in done.stdout.splitlines() if not line.endswith(': OK')]


def names(directory: Path) -> list[str]:
    """The names in SHA256SUMS, in its order."""
    return [line.split('  ', 1)[1] for line in (directory / CHECKSUMS).read_text().splitlines()]


def all_files(directory: Path) -> list[str]:
    """Every file in the directory that is not occystrap's own."""
    return sorted(name for name in content(directory) if not name.startswith('.occystrap') and name != CHECKSUMS)


@pytest.mark.parametrize('unique', [False, True])
def test_sha256sum_finds_every_file_as_it_is_listed(tmp_path: Path, unique: bool) -> None:
    receipt = write_summed(tmp_path, unique=unique)
    assert sha256sum(tmp_path) == (0, [])
    assert names(tmp_path) == all_files(tmp_path) and len(names(tmp_path)) == 6
    assert [each.locator for each in receipt.of_kind('checksums')] == [CHECKSUMS]
    assert findings(receipt, VerifyLevel.FULL) == []


def test_several_images_share_one_list_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    images = [sample_image(f'app{number}:v1', variant=str(number)) for number in range(3)]
    for image in images:
        write_summed(tmp_path / 'x', image, unique=True)
    for image in reversed(images):
        write_summed(tmp_path / 'y', image, unique=True)
    assert (tmp_path / 'x' / CHECKSUMS).read_bytes() == (tmp_path / 'y' / CHECKSUMS).read_bytes()
    assert names(tmp_path / 'x') == all_files(tmp_path / 'x') and sha256sum(tmp_path / 'x') == (0, [])
    assert [findings(receipt) for receipt in kept_receipts(tmp_path / 'x')] == [[], [], []]


def test_without_the_option_there_is_none(tmp_path: Path) -> None:
    assert not write(tmp_path).of_kind('checksums') and not (tmp_path / CHECKSUMS).exists()


@pytest.mark.parametrize('unique', [False, True])
def test_existing_checksums_are_kept_current_without_the_option(tmp_path: Path, unique: bool) -> None:
    write_summed(tmp_path, sample_image('one:v1', variant='one'), unique)
    receipt = write(tmp_path, sample_image('one:v2', variant='two'), unique)
    assert names(tmp_path) == all_files(tmp_path) and sha256sum(tmp_path) == (0, [])
    assert receipt.of_kind('checksums') and findings(receipt) == []


def test_images_that_were_there_before_are_listed_too(tmp_path: Path) -> None:
    for name in ('one:v1', 'two:v1'):
        write(tmp_path, sample_image(name, variant=name), unique=True)
    write_summed(tmp_path, sample_image('three:v1'), unique=True)
    assert names(tmp_path) == all_files(tmp_path) and sha256sum(tmp_path) == (0, [])


def test_files_of_images_without_receipts_are_hashed(tmp_path: Path) -> None:
    write(tmp_path, sample_image('one:v1', variant='one'), unique=True)
    (tmp_path / '.occystrap/receipts/manifest-one-v1.json').unlink()
    write_summed(tmp_path, sample_image('two:v1'), unique=True)
    assert names(tmp_path) == all_files(tmp_path) and sha256sum(tmp_path) == (0, [])


def test_a_layer_that_is_listed_already_is_not_hashed_again(tmp_path: Path) -> None:
    write_summed(tmp_path, sample_image('one:v1', variant='one'), unique=True)
    (tmp_path / '.occystrap/receipts/manifest-one-v1.json').unlink()
    damaged = tmp_path / Digest.of(sample_layers('one')[2]).hex / 'layer.tar'
    damaged.write_bytes(damaged.read_bytes()[::-1])
    write_summed(tmp_path, sample_image('two:v1', variant='two'), unique=True)
    code, bad = sha256sum(tmp_path)
    assert code == 1 and bad == [f'{damaged.relative_to(tmp_path)}: FAILED']


def test_an_image_that_takes_the_place_of_another_leaves_no_line_of_it(tmp_path: Path) -> None:
    write_summed(tmp_path / 'x', sample_image('one:v1', variant='old'), unique=True)
    write_summed(tmp_path / 'x', sample_image('one:v1', variant='new'), unique=True)
    write_summed(tmp_path / 'y', sample_image('one:v1', variant='new'), unique=True)
    assert (tmp_path / 'x' / CHECKSUMS).read_bytes() == (tmp_path / 'y' / CHECKSUMS).read_bytes()


def test_a_directory_of_one_image_that_becomes_one_of_several_lists_what_is_left(tmp_path: Path) -> None:
    write_summed(tmp_path, sample_image('one:v1', variant='old'))
    write_summed(tmp_path, sample_image('two:v1', variant='two'), unique=True)
    write_summed(tmp_path, sample_image('one:v1', variant='new'), unique=True)
    assert names(tmp_path) == all_files(tmp_path) and sha256sum(tmp_path) == (0, [])


def test_a_failed_run_leaves_the_list_as_it_was(tmp_path: Path) -> None:
    write_summed(tmp_path, sample_image('one:v1', variant='one'), unique=True)
    before = content(tmp_path)
    with pytest.raises(InvalidImage):
        write_summed(tmp_path, breaking(sample_image('two:v1')), unique=True)
    assert content(tmp_path) == before


def test_parallel_processes_write_one_complete_list(tmp_path: Path) -> None:
    images = [sample_image(f'app{number}:v{tag}', variant=f'{number}{tag}') for number in range(4) for tag in range(2)]

    def writer(part: int) -> Callable[[], object]:
        # Those without the option find the list there, and keep it current.
        work = write_summed if part == 0 else write
        return lambda: [findings(work(tmp_path / 'x', image, unique=True)) == [] or os._exit(2)
                        for image in images[part::3]]
    write_summed(tmp_path / 'x', sample_image('first:v1', variant='first'), unique=True)
    assert in_processes(*map(writer, range(3))) == [0, 0, 0]
    assert names(tmp_path / 'x') == all_files(tmp_path / 'x') and sha256sum(tmp_path / 'x') == (0, [])
    assert [findings(receipt, VerifyLevel.FULL) for receipt in kept_receipts(tmp_path / 'x')] == [[]] * 9


@pytest.mark.parametrize('level', [VerifyLevel.FAST, VerifyLevel.FULL])
def test_a_missing_list_is_named(tmp_path: Path, level: VerifyLevel) -> None:
    receipt = write_summed(tmp_path)
    (tmp_path / CHECKSUMS).unlink()
    (found,) = findings(receipt, level)
    assert found.startswith(f'error checksums {CHECKSUMS}: is missing')


def test_damage_of_a_file_is_seen_by_sha256sum(tmp_path: Path) -> None:
    write_summed(tmp_path)
    with (tmp_path / LAYER).open('r+b') as file:
        file.write(b'x')
    assert sha256sum(tmp_path) == (1, [f'{LAYER}: FAILED'])


def test_any_flipped_bit_of_the_list_is_found_fast(tmp_path: Path) -> None:
    receipt = write_summed(tmp_path)
    whole = (tmp_path / CHECKSUMS).read_bytes()
    for place in range(0, len(whole), 1 if EVERYTHING else 3):
        (tmp_path / CHECKSUMS).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        found = findings(receipt)
        assert found and all(each.startswith(f'error checksums {CHECKSUMS}: ') for each in found), place
    for size in range(0, len(whole), 7):
        (tmp_path / CHECKSUMS).write_bytes(whole[:size])
        assert findings(receipt), size


def flip_layer_line(lines: list[str]) -> list[str]:
    return [re.sub('^[0-9a-f]{64}', 'a' * 64, line) if line.endswith(LAYER) else line for line in lines]


@pytest.mark.parametrize('change, message', [
    (lambda lines: [*lines, lines[0]], 'lists 0'),
    (lambda lines: [line for line in lines if not line.endswith(LAYER)], f'does not list {LAYER}'),
    (lambda lines: [line for line in lines if not line.endswith('catalog.json')], 'does not list catalog.json'),
    (flip_layer_line, f'lists {LAYER} with sha256:aaaa'),
    (lambda lines: [*lines, ''], 'line 7 is not a digest and a name'),
    (lambda lines: [line.replace('  ', ' *') for line in lines], 'line 1 is not a digest and a name')])
def test_a_list_that_says_something_else_is_found(
        tmp_path: Path, change: Callable[[list[str]], list[str]], message: str) -> None:
    receipt = write_summed(tmp_path)
    lines = (tmp_path / CHECKSUMS).read_text().splitlines()
    (tmp_path / CHECKSUMS).write_text(''.join(f'{line}\n' for line in change(lines)))
    (found,) = findings(receipt)
    assert found.startswith(f'error checksums {CHECKSUMS}: ')
    assert message in found or (message == 'lists 0' and found.endswith(' twice'))


@pytest.mark.parametrize('put', [Path.mkdir, lambda path: path.symlink_to('manifest.json')])
def test_a_list_that_is_no_file_is_an_error(tmp_path: Path, put: Callable[[Path], None]) -> None:
    receipt = write_summed(tmp_path)
    (tmp_path / CHECKSUMS).unlink()
    put(tmp_path / CHECKSUMS)
    (found,) = findings(receipt)
    assert 'not a regular file' in found


def test_a_directory_in_the_place_of_the_list_is_one_clear_line(tmp_path: Path) -> None:
    receipt = write(tmp_path)
    (tmp_path / CHECKSUMS).mkdir()
    with pytest.raises(OutputError, match=f'{CHECKSUMS} is a directory'):
        write_summed(tmp_path, sample_image(variant='other'))
    assert findings(receipt) == []


def test_names_that_need_it_are_escaped_as_sha256sum_has_them(tmp_path: Path) -> None:
    odd = {name: Digest.of(name.encode())
           for name in ('plain', 'back\\slash', 'new\nline', '\\n', ' both \\\n', 'größe')}
    for name in odd:
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / CHECKSUMS).write_bytes(write_checksums(odd))
    assert sha256sum(tmp_path) == (0, []) and read_checksums(str(tmp_path)) == odd
    made = subprocess.run(['sha256sum', *sorted(odd)], cwd=tmp_path, capture_output=True, check=True).stdout
    assert made == write_checksums(odd)
