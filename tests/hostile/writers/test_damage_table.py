"""docs/what-verification-sees.md is measured: each kind of damage is done to each format, at each level.

After a change that is meant: `OCCYSTRAP_WRITE_DOCS=1 tools/test tests/hostile/writers/test_damage_table.py`.
"""
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome
from tests.hostile.in_process import run_here
from tests.hostile.writers.damage import (
    DAMAGES, DIRECTORY, FILE, LINK, OURS, PRIVATE, Damage, aside_of, become_pipe,
)
from tests.hostile.writers.images import OLD
from tests.hostile.writers.places import InDirectory, Place
from tests.services.installed import installed_plugins
from tests.services.requirements import require_root

PAGE = Path(__file__).parents[3] / 'docs/what-verification-sees.md'
FORMATS = {'dir': 'dir://', 'dir expanded': 'dir://?expand=true', 'layout': 'layout://', 'tar': 'tar://',
           'tar oci': 'tar://?format=oci', 'oci': 'oci://', 'mounts': 'mounts://', 'registry': 'registry://'}
TREES = {'oci': 'rootfs', 'mounts': 'layers', 'dir expanded': ''}
"""Formats that hold files as the image has them, and below which directory."""
KEEPS_OUT = {'oci': '.', 'mounts': 'layers', 'dir expanded': '.'}
WROTE = {'oci': ['.', 'config.json', '.occystrap'], 'mounts': ['.', 'mount.sh', '.occystrap/trees'],
         'dir expanded': ['.', 'manifest.json', '.occystrap/trees']}
PLUGINS = installed_plugins()
SAMPLE = 3
"""Paths of each kind that are damaged, one after the other."""

pytestmark = pytest.mark.parametrize('destination', FORMATS, indirect=True)


@pytest.fixture(autouse=True)
def as_root() -> None:
    require_root('changing owners and capabilities')


@pytest.fixture
def receipt(place: Place, archives: dict[str, str], tmp_path: Path) -> Receipt:
    """The receipt of an image that was just written to the place."""
    run_here('process', archives[OLD], place.uri, '--receipt', tmp_path / 'receipt').assert_success()
    written, = read_receipts(str(tmp_path / 'receipt'))
    return written


def outcome(receipt: Receipt, level: VerifyLevel, timeout: float = 60.0) -> Outcome:
    settings = Settings(retries=0, jobs=2, timeout=timeout)
    with closing(settings.shared):
        return verify_receipt(PLUGINS, receipt, level, settings).outcome


def kind_of(path: Path) -> str:
    mode = path.lstat().st_mode
    return LINK if stat.S_ISLNK(mode) else DIRECTORY if stat.S_ISDIR(mode) else FILE if stat.S_ISREG(mode) else ''


def paths_of(place: Place, destination: str) -> list[Path]:
    """The paths to damage: of a tree its own entries, else the files that hold the image, small ones first."""
    if destination not in TREES or not isinstance(place, InDirectory):
        return sorted(place.files(), key=lambda path: (path.stat().st_size, path))  # names may be any digests
    tops = [place.path / TREES[destination]] if TREES[destination] else [
        path for path in place.path.iterdir() if path.is_dir() and (path / 'usr').is_dir()]
    return sorted(path for top in tops for path in top.rglob('*') if not _is_mark(path))


def _is_mark(path: Path) -> bool:
    """Return whether a path is a whiteout of overlayfs, a device that is not damaged here."""
    return stat.S_ISCHR(path.lstat().st_mode)


def chosen(place: Place, destination: str, kinds: tuple[str, ...], receipt: Receipt) -> Iterator[Path]:
    for kind in kinds:
        if kind in (OURS, PRIVATE):
            yield from beside(place, destination, kind)
            continue
        found = [path for path in paths_of(place, destination) if kind_of(path) == kind]
        found = [path for path in found if kind != FILE or path.stat().st_size > 1]
        if destination not in TREES and kind == FILE:
            yield from layer_and_documents(found, receipt)
        else:
            yield from found[::max(1, len(found) // SAMPLE)][:SAMPLE]


def layer_and_documents(found: list[Path], receipt: Receipt) -> list[Path]:
    """Return a file of a layer, if layers have their own, and documents, whatever order their digests give them."""
    digests = [layer.digest.hex for layer in receipt.of_kind('layer')]
    layers = [path for path in found if any(digest in str(path) for digest in digests)]
    return [*layers[:1], *(path for path in found if path not in layers)][:SAMPLE]


def beside(place: Place, destination: str, kind: str) -> list[Path]:
    """The paths to damage that are not the image's own."""
    if not isinstance(place, InDirectory) or kind == PRIVATE and destination not in KEEPS_OUT:
        return []
    if kind == PRIVATE:
        return [place.path / KEEPS_OUT[destination]]
    return [place.path / name for name in WROTE[destination]] if destination in WROTE else place.files()[:SAMPLE]


class Copy:
    """What was written, to be put back after each damage."""

    def __init__(self, place: Place, aside: Path) -> None:
        self._of = [place.path] if isinstance(place, InDirectory) else place.files()
        self._aside = aside
        aside.mkdir()
        for number, path in enumerate(self._of):
            self._copy(path, aside / str(number))

    def put_back(self) -> None:
        for number, path in enumerate(self._of):
            shutil.rmtree(aside_of(path), ignore_errors=True)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif os.path.lexists(path):
                path.unlink()
            self._copy(self._aside / str(number), path)

    def _copy(self, source: Path, target: Path) -> None:
        subprocess.run(['cp', '-a', source, target], check=True)


def seen(damage: Damage, place: Place, destination: str, receipt: Receipt, copy: Copy) -> str:
    """Return the least level that sees the damage wherever it is done."""
    answers = set()
    timeout = 1.0 if damage.do is become_pipe else 60.0  # a registry waits for whoever writes to it
    for path in list(chosen(place, destination, tuple(damage.kinds), receipt)):
        damage.do(path)
        levels = [level for level in (VerifyLevel.FAST, VerifyLevel.FULL)
                  if outcome(receipt, level, timeout) is not Outcome.VERIFIED]
        assert levels != [VerifyLevel.FAST], f'{damage.name} of {path} is seen by fast and not by full'
        answers.add('both' if len(levels) == 2 else 'full' if levels else 'no')
        copy.put_back()
    if answers > {'full'} and 'no' not in answers:
        return 'full; fast where small'
    assert len(answers) < 2, f'{damage.name} in {destination}: {answers}, depending on the path'
    return answers.pop() if answers else 'n/a'


def row(place: Place, destination: str, receipt: Receipt, aside: Path) -> dict[str, str]:
    copy = Copy(place, aside)
    copy.put_back()  # by copying alone nothing may change
    assert outcome(receipt, VerifyLevel.FULL) is Outcome.VERIFIED
    return {damage.name: seen(damage, place, destination, receipt, copy) for damage in DAMAGES}


def test_the_page_says_what_is_seen(destination: str, place: Place, receipt: Receipt, tmp_path: Path) -> None:
    found = row(place, destination, receipt, tmp_path / 'copy')
    if os.environ.get('OCCYSTRAP_WRITE_DOCS'):
        write_column(FORMATS[destination], found)
    assert column(FORMATS[destination]) == found
    unseen = [damage.name for damage in DAMAGES if found[damage.name] == 'no']
    assert not [damage.name for damage in DAMAGES if damage.of_content and damage.name in unseen]
    if destination in TREES:
        assert unseen == ['the same bytes without holes']


def table() -> list[list[str]]:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith('|')]
    return [[cell.strip().strip('`') for cell in line.strip('|').split('|')] for line in rows]


def column(heading: str) -> dict[str, str]:
    """Return what the page says of one format."""
    headings, _, *rows = table()
    place = headings.index(heading)
    return {cells[0]: cells[place] for cells in rows}


def write_column(heading: str, found: dict[str, str]) -> None:
    columns = {each: column(each) if each in table()[0] else {} for each in FORMATS.values()} | {heading: found}
    lines = ['| damage | ' + ' | '.join(f'`{each}`' for each in columns) + ' |', '| --- ' * (len(columns) + 1) + '|']
    lines += [f'| {damage.name} | ' + ' | '.join(cells.get(damage.name, '') for cells in columns.values()) + ' |'
              for damage in DAMAGES]
    before, _, rest = PAGE.read_text().partition('|')
    after = rest[rest.rindex('|') + 1:] if rest else '\n'
    PAGE.write_text(before + '\n'.join(lines) + after)
