"""Layers that lie in a place before an image comes: used only if they are known to be made from its tar."""
import hashlib
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Receipt
from occystrap_core.oci import Digest

from tests.hostile.extraction.stacks import file, directory, layer, save_image
from tests.hostile.in_process import run_here

EVIL = b'#!/bin/sh\necho EVIL\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory of mounts with one image, beside its archive."""
    save_image(tmp_path / 'image.tar', layer(directory('bin'), file('bin/x', b'#!/bin/sh\n', mode=0o755)))
    write(tmp_path / 'mounts')
    return tmp_path / 'mounts'


def write(place: Path, *arguments: str) -> None:
    """Write the image."""
    run_here('process', f'tar://{place.parent}/image.tar', f'mounts://{place}', '--no-sync', *arguments
             ).assert_success()


def plant(place: Path) -> Path:
    """Change a file of the only layer, and the list of files with it; return the file."""
    tree, = (place / 'layers').iterdir()
    path, listing = tree / 'bin/x', place / f'.occystrap/trees/{tree.name}.mtree'
    times = [(each, each.stat().st_mtime_ns) for each in (path, tree / 'bin')]
    path.write_bytes(EVIL)
    for each, time in times:
        os.utime(each, ns=(time, time))
    digest = hashlib.sha256(EVIL).hexdigest().encode()
    listing.write_bytes(re.sub(rb'(\./bin/x .*?size=)\d+( sha256digest=)[0-9a-f]+', rb'\g<1>%d\g<2>%s' % (
        len(EVIL), digest), listing.read_bytes()))
    return path


@pytest.mark.parametrize('level', ['--verify=fast', '--verify=full'])
def test_a_layer_without_a_record_of_its_tar_is_unpacked_again(place: Path, level: str) -> None:
    path = plant(place)
    shutil.rmtree(place / '.occystrap/receipts')
    (place / 'mount.json').unlink()
    (place / 'mount.sh').unlink()
    write(place, level)
    assert path.read_bytes() == b'#!/bin/sh\n'
    run_here('verify', f'mounts://{place}', '--full').assert_success()


@pytest.mark.parametrize('level', ['--verify=fast', '--verify=full'])
def test_a_layer_whose_list_is_in_no_receipt_is_unpacked_again(place: Path, level: str) -> None:
    path = plant(place)
    write(place, level)
    assert path.read_bytes() == b'#!/bin/sh\n'


def test_with_full_verification_a_receipt_that_was_planted_too_is_not_trusted(place: Path) -> None:
    path = plant(place)
    tree = path.parent.parent.name
    listing = (place / f'.occystrap/trees/{tree}.mtree').read_bytes()
    receipt, = (place / '.occystrap/receipts').iterdir()
    sealed_again(receipt, f'.occystrap/trees/{tree}.mtree', listing)
    write(place, '--verify=full')
    assert path.read_bytes() == b'#!/bin/sh\n'


def sealed_again(receipt: Path, locator: str, listing: bytes) -> None:
    """Have a receipt expect another list of files, with a seal that is right."""
    before = Receipt.from_json(receipt.read_bytes())
    after = replace(before, expectations=tuple(
        each._replace(digest=Digest.of(listing), size=len(listing)) if each.locator == locator else each
        for each in before.expectations))
    receipt.write_text(f'{after.to_json()}\n')


@pytest.mark.parametrize('level', ['--verify=fast', '--verify=full'])
def test_a_layer_that_is_as_it_was_stays_where_it_is(place: Path, level: str) -> None:
    tree, = (place / 'layers').iterdir()
    before = tree.stat().st_ino
    write(place, level)
    assert tree.stat().st_ino == before


def test_a_layer_that_a_kept_receipt_binds_is_not_read_again(place: Path) -> None:
    archive = place.parent / 'image.tar'
    data = archive.read_bytes()
    write(place)
    archive.write_bytes(data.replace(b'#!/bin/sh\n', b'#!/bin/xx\n'))  # reading it would show the change
    write(place)
    run_here('process', f'tar://{archive}', f'mounts://{place}', '--verify=full').assert_code(1)
