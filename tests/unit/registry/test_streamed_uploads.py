"""Blobs that are sent while they are made: what registries make of them, and what is sent if they refuse."""
import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest

from occystrap_core import Image, InvalidImage, OutputError, Receipt, ServiceError, Settings
from occystrap_core.files import TemporaryFile
from occystrap_core.oci import Descriptor, Digest, ImageConfig, Reference
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.tar import TarLayer
from occystrap_core.testing.sample import sample_config
from occystrap_core.verification.results import Outcome
from occystrap_registry.server.server_thread import RegistryServer
from tests.unit.core.image.sources import Source
from occystrap_registry.writer import RegistryOutput
from tests.unit.registry.images import pull, verify
from tests.unit.registry.scripted import Answer, Request, Scripted, location
from tests.unit.registry.test_upload_ways import BLOB, OTHER, Registry, described

Counted = tuple[str, str, int]
MIB = 1 << 20
LARGE = random.Random(5).randbytes(MIB) * 6
"""Of such a size that it is sent while it is compressed."""


class Making:
    """A blob that is made while it is sent, anew each time."""

    def __init__(self, blob: bytes) -> None:
        self._blob, self.begun = blob, 0
        self.descriptor: Descriptor | None = None

    def body(self) -> Iterator[memoryview]:
        self.begun += 1
        for start in range(0, len(self._blob), 50_000):
            yield memoryview(self._blob)[start:start + 50_000]
        self.descriptor = described(self._blob)


def stream(registry: Registry, blob: bytes = BLOB) -> bool:
    """Send a blob and return whether the registry took it so."""
    making = Making(blob)
    sent = registry.uploads.stream(making.body, lambda: making.descriptor)
    assert sent in (None, described(blob)) and (sent is None or registry.blobs[described(blob).digest] == blob)
    return sent is not None


@pytest.fixture
def registry(server: Scripted) -> Iterator[Registry]:
    """A registry without a quirk."""
    yield Registry(server)


def test_one_patch_has_all_bytes_and_no_size(registry: Registry) -> None:
    assert stream(registry)
    post, patch, put = registry.server.requests[-3:]
    assert (post.method, patch.method, put.method, put.body) == ('POST', 'PATCH', 'PUT', b'')
    assert patch.body == BLOB and patch.headers['transfer-encoding'] == 'chunked'
    assert not {'content-length', 'content-range'} & set(patch.headers)
    assert put.query['digest'] == [described(BLOB).digest]


REFUSALS = [Answer(status) for status in (400, 403, 404, 405, 409, 411, 413, 415, 416, 422, 500, 501)]


@pytest.mark.parametrize('refusal', [*REFUSALS, Answer(silent=True)], ids=str)
def test_a_registry_that_refuses_it_gets_whole_blobs_from_then_on(refusal: Answer, registry: Registry) -> None:
    registry.quirk = lambda request: refusal if 'transfer-encoding' in request.headers else None
    assert registry.uploads.can_stream and not stream(registry)
    assert not registry.uploads.can_stream and registry.put(BLOB)[-1] == 'PUT'


@pytest.mark.parametrize('refusal', [Answer(400), Answer(404), Answer(405), Answer(500)], ids=str)
def test_an_end_that_is_refused(refusal: Answer, registry: Registry) -> None:
    registry.quirk = lambda request: refusal if request.method == 'PUT' and not request.body else None
    assert not stream(registry) and registry.put(BLOB)[-1] == 'PUT'


def test_a_registry_that_asks_for_chunks_is_not_tried(registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        asks = ('OCI-Chunk-Min-Length', '1000')
        return Answer(202, headers=[*registry.serve(request).headers, asks]) if request.method == 'POST' else None
    registry.quirk = quirk
    assert not stream(registry) and not any(each.method == 'PATCH' for each in registry.server.requests)


def test_a_registry_that_took_no_single_patch_is_not_tried(registry: Registry) -> None:
    registry.quirk = lambda request: (
        Answer(400) if request.method in ('PUT', 'PATCH') and request.body and 'content-range' not in request.headers
        else None)
    registry.put(BLOB)
    assert not registry.uploads.can_stream


def test_a_broken_connection_has_it_made_and_sent_again(registry: Registry) -> None:
    breaks = iter([Answer(silent=True)])
    registry.quirk = lambda request: next(breaks, None) if request.method == 'PATCH' else None
    making = Making(BLOB)
    assert registry.uploads.stream(making.body, lambda: making.descriptor) and making.begun == 2
    assert registry.blobs == {described(BLOB).digest: BLOB} and registry.uploads.can_stream


@pytest.mark.parametrize('status', [429, 502, 503])
def test_a_registry_that_is_busy_is_asked_again(status: int, registry: Registry) -> None:
    answers = iter([Answer(status)])
    registry.quirk = lambda request: next(answers, None) if request.method == 'PATCH' else None
    assert stream(registry)


@pytest.mark.parametrize('status', [401, 429, 502, 503, 504])
@pytest.mark.parametrize('method', ['PATCH', 'PUT'])
def test_refusals_that_are_not_about_the_way(method: str, status: int, registry: Registry) -> None:
    registry.quirk = lambda request: Answer(status) if request.method == method else None
    with pytest.raises(ServiceError):
        stream(registry)


@pytest.mark.parametrize('status', [400, 404, 409])
def test_a_blob_that_turns_out_to_be_there(status: int, registry: Registry) -> None:
    stream(registry)
    registry.quirk = lambda request: Answer(status) if request.method == 'PUT' else None
    assert stream(registry), 'some registries refuse to store what they have'


def test_a_success_before_the_end_is_none(registry: Registry) -> None:
    making = Making(BLOB)
    assert registry.uploads.stream(making.body, lambda: None) is None
    assert not any(request.method == 'PUT' for request in registry.server.requests)


def test_another_digest_is_an_error(registry: Registry) -> None:
    other = [('Docker-Content-Digest', described(OTHER).digest)]
    registry.quirk = lambda request: Answer(201, headers=other) if request.method == 'PUT' else None
    with pytest.raises(OutputError, match=f'stored blob .* as {described(OTHER).digest}'):
        stream(registry)


@pytest.mark.parametrize('status', [307, 308])
def test_redirects_are_followed_with_the_body(status: int, registry: Registry) -> None:
    registry.quirk = lambda request: (
        Answer(status, headers=[('Location', f'{request.path}?again=1')])
        if request.method == 'PATCH' and 'again' not in request.query else None)
    assert stream(registry)


def image_of(*tars: bytes, opener: Callable[[bytes], Source] = Source, known: bool = True) -> Image:
    """Return an image of tars, as an archive of docker save has them; `known`: with their digests."""
    layers = [TarLayer(index, Digest.of(tar) if known else None, partial(opener, tar), len(tar))
              for index, tar in enumerate(tars)]
    return Image(Reference('app', 'v1'), ImageConfig.parse(sample_config(tars)), layers)


def push(host: str, settings: Settings, image: Image, tag: str = 'v1', **options: object) -> Receipt:
    """Write an image whose layers may be read twice."""
    output = RegistryOutput(location(f'{host}/app:{tag}', **options), settings)
    return ImageCopy(image, output, settings, 'archive', recipe='').run()


@pytest.fixture
def requests() -> list[Counted]:
    """What the registry answered."""
    return []


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory, requests: list[Counted]) -> Iterator[str]:
    """An empty registry."""
    def observe(method: str, path: str, status: int) -> None:
        requests.append((method, path, status))
    with RegistryServer(tmp_path_factory.mktemp('registry'), observer=observe) as server:
        yield server.host


def sent(requests: list[Counted]) -> list[str]:
    return [method for method, path, _ in requests if method in ('HEAD', 'PATCH', 'PUT') and '/blobs/' in path]


@pytest.mark.parametrize('compression', ['gzip', 'gzip-fast', 'zstd'])
def test_a_large_layer_is_never_in_a_file(compression: str, host: str, settings: Settings, requests: list[Counted],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TemporaryFile, '__init__', lambda *_: pytest.fail('a temporary file was made'))
    receipt = push(host, settings, image_of(LARGE), compression=compression)
    assert sent(requests) == ['PATCH', 'PUT', 'PUT'], 'the layer, then the config'
    assert verify(receipt, settings).outcome is Outcome.VERIFIED
    with pull(host, settings) as pulled:
        assert pulled.layers[0].tar().drain() == Digest.of(LARGE)


def test_a_registry_that_takes_no_streams_gets_the_same_blob(host: str, settings: Settings, server: Scripted) -> None:
    registry = Registry(server, lambda request: (
        Answer(411) if 'transfer-encoding' in request.headers else
        Answer(201) if '/manifests/' in request.path and request.method == 'PUT' else
        Answer(404) if '/manifests/' in request.path else None))
    layer, = push(server.host, settings, image_of(LARGE)).of_kind('layer')
    assert layer.digest in registry.blobs
    assert push(host, settings, image_of(LARGE)).of_kind('layer')[0].digest == layer.digest


def test_a_tag_that_has_the_layer_gets_nothing(host: str, settings: Settings, requests: list[Counted]) -> None:
    push(host, settings, image_of(LARGE))
    before = len(requests)
    push(host, Settings(), image_of(LARGE[MIB:] + bytes(512), LARGE))
    assert sent(requests[before:]).count('PATCH') == 1, 'the new layer alone'


def test_small_layers_are_looked_for(host: str, settings: Settings, requests: list[Counted]) -> None:
    small = LARGE[:MIB]
    push(host, settings, image_of(small))
    before = len(requests)
    push(host, Settings(), image_of(small), 'other')
    assert sent(requests[before:]) == ['HEAD', 'HEAD'], 'layer and config'


def test_a_layer_that_is_damaged_leaves_nothing(host: str, settings: Settings, requests: list[Counted]) -> None:
    image = image_of(LARGE, opener=lambda tar: Source(tar[:-1] + b'x'))
    with pytest.raises(InvalidImage, match=f'layer {Digest.of(LARGE)}.* has digest'):
        push(host, settings, image)
    assert not [path for method, path, _ in requests if method == 'PUT']


def test_a_source_that_changes_between_two_attempts_is_an_error(server: Scripted, settings: Settings) -> None:
    attempts, breaks = count(), iter([Answer(silent=True)])
    Registry(server, lambda request: (
        next(breaks, None) if request.method == 'PATCH' else Answer(404) if '/manifests/' in request.path else None))
    image = image_of(LARGE, opener=lambda tar: Source(tar + bytes(512 * next(attempts))), known=False)
    with pytest.raises(InvalidImage, match='layer 0 has digest'):
        push(server.host, settings, image)
