"""A blob is known as read only if nobody has begun or ended to send it since the read began."""
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import pytest

from occystrap_core import ServiceError, Settings
from occystrap_core.oci import Digest
from occystrap_registry.proxy.downstream_blobs import ReadOnce
from occystrap_registry.proxy.known_digests import KnownDigests
from tests.services.proxied import remote

X, Y = Digest.of(b'x'), Digest.of(b'y')
BLOB = ('mirror/app', X)


@pytest.fixture
def known(tmp_path: Path) -> Iterator[KnownDigests]:
    """What is known."""
    with closing(KnownDigests(tmp_path / 'known.sqlite', '')) as opened:
        yield opened


@pytest.fixture
def read(known: KnownDigests) -> ReadOnce:
    """The blobs of a registry that nobody asks."""
    return ReadOnce(remote('127.0.0.1:1/mirror', Settings()), known, True)


def test_a_read_counts(read: ReadOnce, known: KnownDigests) -> None:
    known.note_read('app', X)
    with read.sending(*BLOB):
        assert read.is_due(*BLOB, False)
    read.note_read(*BLOB, read.sends(*BLOB))
    assert not read.is_due(*BLOB, False) and read.is_due(*BLOB, True) and known.is_read('app', X)


@pytest.mark.parametrize('error', [None, ServiceError('broken')])
def test_a_read_that_a_send_ended_after_does_not_count(read: ReadOnce, error: Exception | None) -> None:
    """Whether it began before the send, or during it, and also if that failed."""
    before = read.sends(*BLOB)
    with suppress(ServiceError), read.sending(*BLOB):
        during = read.sends(*BLOB)
        if error:
            raise error
    for sends in (before, during):
        read.note_read(*BLOB, sends)
        assert read.is_due(*BLOB, False)
    read.note_read(*BLOB, read.sends(*BLOB))
    assert not read.is_due(*BLOB, False)


def test_no_read_counts_while_one_is_under_way(read: ReadOnce) -> None:
    """As the process may be killed before the end of the send is noted."""
    with read.sending(*BLOB):
        with read.sending(*BLOB):
            pass
        read.note_read(*BLOB, read.sends(*BLOB))
        assert read.is_due(*BLOB, False)


def test_it_is_about_one_blob_of_one_repository(read: ReadOnce) -> None:
    others = [('mirror/other', X), ('mirror/app', Y)]
    for other in others:
        with read.sending(*BLOB) if hash(other) % 4096 != hash(BLOB) % 4096 else nullcontext():
            read.note_read(*other, read.sends(*other))
        assert not read.is_due(*other, False)
