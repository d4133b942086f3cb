"""Uploads in chunks: when, how large, and how they go on after a fault."""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from occystrap_core import ServiceError, Settings
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution import chunked_upload
from occystrap_registry.distribution.uploads import Uploads, whole
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

BLOB = bytes(range(256)) * 4096
DESCRIPTOR = Descriptor('', Digest.of(BLOB), len(BLOB))


@dataclass
class Session:
    """A server's side of one upload; `faults` are the answers in place of the right ones to PATCH, None for none."""

    largest: int
    received: bytearray = field(default_factory=bytearray)
    faults: list[Answer | None] = field(default_factory=list)
    kept: int = 0
    patches: list[str] = field(default_factory=list)

    def patch(self, request: Request) -> Answer:
        self.patches.append(request.headers['content-range'])
        start = int(request.headers['content-range'].partition('-')[0])
        if self.faults:
            self.received += request.body[:self.kept]
            fault = self.faults.pop(0)
            if fault:
                return fault
        if len(request.body) > self.largest:
            return Answer(413)
        if start != len(self.received):
            return Answer(416)
        self.received += request.body
        return Answer(202, headers=[('Location', f'/up?_state={len(self.received)}'), self._range()])

    def status(self, request: Request) -> Answer:
        return Answer(204, headers=[('Location', '/up?_state=asked'), self._range()])

    def put(self, request: Request) -> Answer:
        if request.body:
            return Answer(413)
        return Answer(201 if request.query['digest'] == [Digest.of(bytes(self.received))] else 400)

    def _range(self) -> tuple[str, str]:
        return 'Range', f'0-{max(0, len(self.received) - 1)}'


def uploads_to(server: Scripted, session: Session, least: str = '') -> Uploads:
    headers = [('Location', '/up?_state=begun')] + ([('OCI-Chunk-Min-Length', least)] if least else [])
    server.routes |= {'POST /v2/app/blobs/uploads/': Answer(202, headers=headers), 'PATCH /up': session.patch,
                      'GET /up': session.status, 'PUT /up': session.put}
    return Uploads(client_of(server.host, Settings(timeout=5.0, retries=3, longest_wait=0.01)))


def counted(read: list[int]) -> Iterable[memoryview]:
    """Return the blob in odd pieces, and count how often it is begun."""
    def body() -> Iterator[memoryview]:
        read.append(1)
        for start in range(0, len(BLOB), 77_777):
            yield memoryview(BLOB)[start:start + 77_777]
    return body()


def test_a_blob_above_the_limit_is_sent_in_chunks(server: Scripted) -> None:
    session, read = Session(300_000), list[int]()
    assert uploads_to(server, session).put(DESCRIPTOR, lambda: counted(read))
    assert bytes(session.received) == BLOB
    assert session.patches[-1] == f'{len(BLOB) - len(BLOB) % 262144 - 262144}-{len(BLOB) - 1}'
    assert [request.query['_state'] for request in server.received('PUT', '/up')] == [['begun'], [f'{len(BLOB)}']]


def test_the_server_s_smallest_chunk_is_kept(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_upload, '_LARGEST', 1000)
    session, read = Session(1 << 30), list[int]()
    assert uploads_to(server, session, '500000').put(DESCRIPTOR, lambda: counted(read))
    assert session.patches == ['0-499999', '500000-999999', f'1000000-{len(BLOB) - 1}']
    assert bytes(session.received) == BLOB and len(read) == 1, 'the layer is read once'
    assert [request.body for request in server.received('PUT', '/up')] == [b'']


@pytest.mark.parametrize('fault', [Answer(503), Answer(429), Answer(500), Answer(silent=True), Answer(416)])
@pytest.mark.parametrize('kept', [0, 12_345])
def test_it_goes_on_where_the_server_got(fault: Answer, kept: int, server: Scripted,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    if fault.status == 416 and not kept:
        kept = 1_000
    monkeypatch.setattr(chunked_upload, '_LARGEST', 300_000)
    session = Session(1 << 30, kept=kept, faults=[None, fault])
    session.kept = 0

    def keep_some(request: Request) -> Answer:
        session.kept = kept if len(session.patches) == 1 else 0
        return session.patch(request)
    uploads = uploads_to(server, session, '300000')
    server.routes['PATCH /up'] = keep_some
    assert uploads.put(DESCRIPTOR, whole(BLOB)) and bytes(session.received) == BLOB
    assert session.patches[2].startswith(f'{300_000 + kept}-')


def test_a_server_that_takes_less_than_it_was_sent(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_upload, '_LARGEST', 300_000)
    session = Session(1 << 30)
    uploads = uploads_to(server, session, '100000')

    def take_some(request: Request) -> Answer:
        return session.patch(replace(request, body=request.body[:200_000]))
    server.routes['PATCH /up'] = take_some
    assert uploads.put(DESCRIPTOR, whole(BLOB)) and bytes(session.received) == BLOB
    assert [int(each.partition('-')[0]) for each in session.patches] == list(range(0, 1_200_000, 200_000))


@pytest.mark.parametrize('range_', [
    '', '0-0', '0-1', 'bytes=0-{last}', 'bytes 0-{last}/*', '{start}-{last}', '0-{length}', '0-{end}', 'nonsense'])
def test_ranges_that_say_nothing(range_: str, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_upload, '_LARGEST', 300_000)
    session = Session(1 << 30)
    uploads = uploads_to(server, session, '300000')

    def odd(request: Request) -> Answer:
        start, end = len(session.received), len(session.received) + len(request.body)
        received = range_.format(start=start, end=end, last=end - 1, length=len(request.body) - 1)
        return replace(session.patch(request), headers=[('Range', received)])
    server.routes['PATCH /up'] = odd
    assert uploads.put(DESCRIPTOR, whole(BLOB)) and bytes(session.received) == BLOB and len(session.patches) == 4


def test_a_server_that_loses_what_it_had_is_sent_it_again(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_upload, '_LARGEST', 300_000)
    session = Session(1 << 30, faults=[None, None, Answer(503)])
    uploads = uploads_to(server, session, '300000')
    status = session.status

    def forget(request: Request) -> Answer:
        del session.received[300_000:]
        return status(request)
    server.routes['GET /up'] = forget
    assert uploads.put(DESCRIPTOR, whole(BLOB)) and bytes(session.received) == BLOB


@pytest.mark.parametrize('range_', ['0-99999999', 'nonsense', '0-' + '9' * 500])
def test_a_server_that_is_lost_is_an_error(range_: str, server: Scripted) -> None:
    uploads = uploads_to(server, Session(1 << 30), '300000')
    server.routes |= {'PATCH /up': Answer(416), 'GET /up': Answer(204, headers=[('Range', range_)])}
    with pytest.raises(ServiceError, match='reports a wrong offset'):
        uploads.put(DESCRIPTOR, whole(BLOB))


def test_chunks_that_are_refused_however_small_are_an_error(server: Scripted) -> None:
    with pytest.raises(ServiceError, match='refuses blob .*413'):
        uploads_to(server, Session(10)).put(DESCRIPTOR, whole(BLOB))
    sizes = [int(each.partition('-')[2]) + 1 for each in
             [request.headers['content-range'] for request in server.received('PATCH', '/up')]]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == 64 << 10


def test_a_layer_that_is_no_layer_ends_the_upload(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Exception):
        pass

    def body() -> Iterator[memoryview]:
        yield memoryview(BLOB)[:1000]
        raise Broken
    with pytest.raises(Broken):
        uploads_to(server, Session(1 << 30), '300000').put(DESCRIPTOR, body)
    assert not server.received('PUT', '/up')


def test_a_limit_on_requests_is_learned_once_in_a_run(server: Scripted) -> None:
    session = Session(300_000)
    uploads = uploads_to(server, session)
    assert uploads.put(DESCRIPTOR, whole(BLOB))
    session.received.clear()
    other = BLOB[:-1]
    assert uploads.put(Descriptor('', Digest.of(other), len(other)), whole(other))
    assert [len(request.body) for request in server.received('PUT', '/up')] == [len(BLOB), 0, 0]
    assert all(len(request.body) <= 300_000 for request in server.received('PATCH', '/up'))


def test_a_line_that_breaks_gets_smaller_chunks(server: Scripted) -> None:
    blob = bytes(5 << 20)
    session = Session(1 << 30, faults=[Answer(silent=True)])
    assert uploads_to(server, session, '300000').put(Descriptor('', Digest.of(blob), len(blob)), whole(blob))
    assert session.patches[:2] == [f'0-{len(blob) - 1}', f'0-{(4 << 20) - 1}'] and bytes(session.received) == blob


def test_an_upload_whose_last_answer_was_lost_is_there(server: Scripted) -> None:
    uploads = uploads_to(server, Session(1 << 30), '300000')
    server.routes['PUT /up'] = [Answer(silent=True), Answer(404)]
    with pytest.raises(ServiceError, match='refuses blob .*404'):
        uploads.put(DESCRIPTOR, whole(BLOB))
    server.routes['PUT /up'] = [Answer(silent=True), Answer(404)]
    server.routes[f'HEAD /v2/app/blobs/{DESCRIPTOR.digest}'] = Answer(200, BLOB)
    session = Session(1 << 30)
    server.routes['PATCH /up'] = session.patch
    assert uploads.put(DESCRIPTOR, whole(BLOB))


def test_an_empty_layer_is_read(server: Scripted) -> None:
    session, read = Session(1 << 30), list[int]()

    def body() -> Iterator[memoryview]:
        read.append(1)
        yield from ()
    assert uploads_to(server, session, '300000').put(Descriptor('', Digest.of(b''), 0), body)
    assert read == [1] and not session.patches
