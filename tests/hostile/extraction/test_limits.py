"""HOSTILE 17-18: impossible sizes, archives that unpack to more than they should, memory that must not grow."""
import gzip
import os
import struct
from collections.abc import Callable, Iterator

import pytest
import zstandard

from occystrap_core.testing.sample import sample_config
from tests.hostile.extraction.ground import Ground, everywhere, everywhere_as_root
from tests.hostile.extraction.sparse import FORMATS
from tests.hostile.extraction.stacks import (GNU, Entry, Part, file, directory, hardlink, save_blobs, save_image,
                                             save_oci_archive, symlink, whiteout)
from tests.hostile.extraction.trees import names

# As many as are unpacked, verified and read back in some seconds; the row's million takes several.
ENTRIES = int(os.environ.get('OCCYSTRAP_TEST_ENTRIES', '20000'))
HUGE = struct.pack('>IQ', 0x80000000, (1 << 63) - 1)
MEBIBYTE = bytes(1 << 20)

SIZES: dict[str, Part] = {
    'negative': Entry('bad', fields={'size': b'\xff' * 12}),
    'little negative': Entry('bad', fields={'size': b'\xff' * 10 + b'\xfe\x00'}),
    'beyond the end': Entry('bad', fields={'size': b'77777777777\0'}),
    'a block beyond the end': Entry('bad', fields={'size': b'00000020000\0'}),
    'absurd': Entry('bad', fields={'size': HUGE}),
    'no number': Entry('bad', fields={'size': b'eleventeen 1'}),
    'negative in PAX': file('bad', b'x', pax={'size': b'-1024'}),
    'absurd in PAX': file('bad', b'x', pax={'size': b'9' * 60}),
    'beyond the end in PAX': file('bad', b'x', pax={'size': b'99999999999'}),
    'no number in PAX': file('bad', b'x', pax={'size': b'1e3'}),
    'of a long name': Entry('././@LongLink', b'L', fields={'size': HUGE, 'magic': GNU}),
    'of a PAX header': Entry('PaxHeader', b'x', fields={'size': HUGE}),
    'of a sparse file': Entry('bad', b'S', fields={'size': HUGE, 'magic': GNU}),
    'negative real size': Entry('bad', pax={'GNU.sparse.major': b'1', 'GNU.sparse.minor': b'0',
                                            'GNU.sparse.name': b'bad', 'GNU.sparse.realsize': b'-5'}),
    'extents without end': Entry('bad', content=b'9' * 512 * 4, pax={
        'GNU.sparse.major': b'1', 'GNU.sparse.minor': b'0', 'GNU.sparse.name': b'bad', 'GNU.sparse.realsize': b'5'}),
}


@pytest.mark.parametrize('case', SIZES)
def test_impossible_sizes_are_refused(ground: Ground, case: str) -> None:
    ground.extract((file('good', b'good'), SIZES[case], file('after', b'after'))).refused()


def test_a_layer_that_is_cut_short_is_refused(ground: Ground) -> None:
    cut = b''.join(part.tobytes() for part in (file('good', b'good'), file('cut', b'x' * 1000)))[:-512]
    ground.extract(cut).refused()


@everywhere
def test_a_good_bundle_stays_when_a_bad_image_is_to_replace_it(ground: Ground) -> None:
    ground.extract((file('f', b'f'), directory('d', 0o711))).result.assert_success()
    before = ground.inventory()
    ground.extract((file('g', b'g'),), (file('../x'),)).refused('..')
    assert ground.inventory() == before is not None


LIMITS: dict[str, tuple[tuple[tuple[Part, ...], ...], str, str]] = {
    'bytes of a file': (((file('f', MEBIBYTE),),), 'max_unpacked=1000000', 'max_unpacked'),
    'bytes of many': ((tuple(file(f'f{number}', MEBIBYTE[:1000]) for number in range(1100)),), 'max_unpacked=1000000',
                      'max_unpacked'),
    'bytes of layers': (((file('f', MEBIBYTE),), (file('g', MEBIBYTE),)), 'max_unpacked=1500KiB', 'max_unpacked'),
    'entries': ((tuple(file(f'f{number}') for number in range(100)),), 'max_entries=50', 'max_entries'),
    'entries of layers': ((tuple(file(f'f{number}') for number in range(40)),
                           tuple(directory(f'd{number}') for number in range(40))), 'max_entries=50', 'max_entries'),
    'links': (((file('f'), *(hardlink(f'h{number}', 'f') for number in range(100))),), 'max_entries=50', 'max_entries'),
    'symlinks': ((tuple(symlink(f's{number}', 'x') for number in range(100)),), 'max_entries=50', 'max_entries'),
    'marks': ((tuple(whiteout(f's{number}') for number in range(100)),), 'max_entries=50', 'max_entries'),
    'one name again and again': (((file('f'),) * 100,), 'max_entries=50', 'max_entries'),
    'parents without entries': (((file('a/' * 100 + 'f'),),), 'max_entries=50', 'max_entries'),
}


@pytest.mark.parametrize('case', LIMITS)
def test_more_than_is_allowed_is_refused_by_the_options_name(ground: Ground, case: str) -> None:
    layers, option, name = LIMITS[case]
    ground.extract(*layers, options=option).refused(name)


def test_images_within_limits_are_unpacked(ground: Ground) -> None:
    parts = (file('f', MEBIBYTE), *(file(f'f{number}') for number in range(100)))
    done = ground.extract(parts, options='max_unpacked=2MiB&max_entries=200')
    assert len(names(done.tree)) == 101


def gzip_bomb(head: bytes, mebibytes: int) -> bytes:
    """Return gzip of a head and that many mebibytes of zeros."""
    sixteen = gzip.compress(bytes(1 << 24), mtime=0)
    return gzip.compress(head, mtime=0) + sixteen * (mebibytes // 16)


def zstd_bomb(head: bytes, mebibytes: int) -> bytes:
    """Return zstd frames of a head and that many mebibytes of zeros."""
    sixteen = zstandard.compress(bytes(1 << 24))
    return zstandard.compress(head) + sixteen * (mebibytes // 16)


BOMBS: dict[str, Callable[[], bytes]] = {
    'gzip, one file': lambda: gzip_bomb(Entry('f', fields={'size': struct.pack('>IQ', 0x80000000, 10 << 30)}).tobytes(),
                                        10 << 10),
    'zstd, one file': lambda: zstd_bomb(Entry('f', fields={'size': struct.pack('>IQ', 0x80000000, 10 << 30)}).tobytes(),
                                        10 << 10),
    'gzip, behind the end': lambda: gzip_bomb(file('f').tobytes() + bytes(1024), 10 << 10),
}


@pytest.mark.parametrize('kind', BOMBS)
def test_bombs_end_at_the_limit(measured_ground: Ground, kind: str) -> None:
    config = sample_config([b'what the bomb unpacks to is not known'])
    archive = save_blobs(measured_ground.directory / 'image.tar', [BOMBS[kind]()], config)
    measured_ground.run(archive, 'max_unpacked=96MiB').refused('max_unpacked')
    assert memory(measured_ground) < 80


def test_a_descriptor_whose_size_is_not_the_blobs_is_refused(ground: Ground) -> None:
    tar = file('f', b'f').tobytes() + bytes(1024)
    for error in (-1, 1, 1 << 40):
        ground.run(save_oci_archive(ground.directory / 'image.tar', tar, error)).refused()


def test_a_sparse_file_counts_with_its_holes(roots_ground: Ground) -> None:
    for make in FORMATS.values():
        roots_ground.extract((make('f', ((0, b'x'),), 5 << 30),), options='max_unpacked=1GiB').refused('max_unpacked')


def many_entries(count: int) -> Iterator[bytes]:
    """Yield a layer of that many entries in a thousand directories, a tenth of them hard links."""
    for number in range(1000):
        yield directory(f'd{number}').tobytes()
    for number in range(count):
        place, first = f'd{number % 1000}/entry-{number}', f'd{number % 1000}/entry-{number % 1000}'
        yield (hardlink(place, first) if number % 10 == 9 and number > 1000 else file(place)).tobytes()
    yield bytes(1024)


@everywhere_as_root
def test_many_entries_take_bounded_memory(measured_ground: Ground) -> None:
    count = ENTRIES if measured_ground.destination.scheme == 'oci' else ENTRIES // 10  # one extractor for all
    archive = save_image(measured_ground.directory / 'image.tar', b''.join(many_entries(count)))
    done = measured_ground.run(archive)
    with done.shown() as root:
        assert sum(1 for _ in root.rglob('entry-*')) == count
    assert memory(measured_ground) < 50 + count * 0.0002  # MB; a path takes some 150 bytes


def memory(ground: Ground) -> float:
    """Return the peak resident memory of the last run of a measured ground, in MB."""
    return int((ground.directory / 'home/memory').read_text().split()[-1]) * 1024 / 1e6
