"""HOSTILE 42 and 43 on the way to a registry: what a token is asked for, and one that runs out in mid upload."""
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_image
from tests.services.command_line import CommandLine
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Answering, Request, Answer, Scripted

IMAGE = sample_image()
assert IMAGE.manifest
MANIFEST = IMAGE.manifest
UPLOADS = '/v2/copy/blobs/uploads/'
LOGIN = {'OCCYSTRAP_USERNAME': 'me', 'OCCYSTRAP_PASSWORD': 'canary-password'}


class Guarded(Scripted):
    """A registry with an image at app:v1 that takes others at copy:v1, all with the token that is good at the time."""

    good = 'one'
    mounts = False

    def fill(self) -> None:
        serve(self, IMAGE)
        self.routes |= {f'POST {UPLOADS}': self._begin, 'PUT /up': self._put,
                        'PUT /v2/copy/manifests/v1': self._manifest}
        self.routes.update({name: self._guarded(route) for name, route in self.routes.items()})
        self.routes['GET /token'] = lambda request: Answer(200,
                                                           json.dumps({'token': self.good, 'expires_in': 600}).encode())

    def scopes(self) -> list[list[str]]:
        return [request.query['scope'] for request in self.received('GET', '/token')]

    def store(self, name: str, body: bytes, *headers: tuple[str, str]) -> Answer:
        for method in ('GET', 'HEAD'):
            self.routes[f'{method} /v2/copy/{name}'] = self._guarded(Answer(200, body, headers))
        return Answer(201)

    def _guarded(self, route: Any) -> Answering:
        def answer(request: Request) -> Answer:
            if request.authorization != f'Bearer {self.good}':
                return Answer(401, headers=[('WWW-Authenticate', f'Bearer realm="http://{self.host}/token"')])
            return route if isinstance(route, Answer) else route(request)
        return answer

    def _begin(self, request: Request) -> Answer:
        if self.mounts and 'mount' in request.query:
            digest = Digest(request.query['mount'][0])
            source = self.routes[f'GET /v2/app/blobs/{digest}']
            return self.store(f'blobs/{digest}', source(request).body)  # type: ignore[operator]
        return Answer(202, headers=[('Location', '/up')])

    def _put(self, request: Request) -> Answer:
        digest = request.query['digest'][0]
        return self.store(f'blobs/{digest}', request.body) if Digest.of(request.body) == digest else Answer(400)

    def _manifest(self, request: Request) -> Answer:
        kind = 'Content-Type', request.headers['content-type']
        self.store(f'manifests/{MANIFEST.digest}', request.body, kind)
        return self.store('manifests/v1', request.body, kind)


@pytest.fixture
def server() -> Iterator[Guarded]:
    with Guarded() as started:
        started.fill()
        yield started


def test_42_a_push_asks_for_both_and_a_mount_for_its_source_too(server: Guarded, occystrap: CommandLine) -> None:
    server.mounts = True
    occystrap('process', f'registry://{server.host}/app:v1', f'registry://{server.host}/copy:v1', '--verify=full',
              env=LOGIN).assert_success()
    mounted = [request.query for request in server.received('POST', UPLOADS) if 'mount' in request.query]
    assert [query['from'] for query in mounted] == [['app']] * len(IMAGE.layers)
    assert ['repository:app:pull'] in server.scopes()
    assert any(sorted(scope) == ['repository:app:pull', 'repository:copy:pull,push'] for scope in server.scopes())


def test_43_a_token_that_runs_out_in_an_upload(server: Guarded, occystrap: CommandLine) -> None:
    upload: Callable[[Request], Answer] = server.routes['PUT /up']  # type: ignore[assignment]

    def runs_out(request: Request) -> Answer:
        """The token is good for the first upload's beginning, not for its end."""
        if server.good == 'one':
            server.good = 'two'
        return upload(request)
    server.routes['PUT /up'] = runs_out
    with Scripted() as source:
        serve(source, IMAGE)
        occystrap('process', f'registry://{source.host}/app:v1', f'registry://{server.host}/copy:v1', '--verify=full',
                  '--jobs=1', env=LOGIN).assert_success()
    bodies = [request.body for request in server.received('PUT', '/up')]
    assert bodies[0] == bodies[1] and bodies[0], 'the body was not sent again from its start'
    assert server.scopes().count(['repository:copy:pull,push']) == 2
