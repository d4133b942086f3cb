"""What users read when a registry refuses, and what was tried before."""
from collections.abc import Callable, Iterator

import pytest

from occystrap_core import ServiceError, Settings
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.blobs import BlobSource, blob_size
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import get_document
from tests.services.command_line import CommandLine
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

BLOB = b'content' * 100
DESCRIPTOR = Descriptor('', Digest.of(BLOB), len(BLOB))
PATH = f'/v2/app/blobs/{DESCRIPTOR.digest}'
EXPIRED = (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired'
           b'</Message><AWSAccessKeyId>canary</AWSAccessKeyId></Error>')
REFUSALS = [Answer(403, EXPIRED), Answer(403), Answer(400, b'<Error><Code>ExpiredToken</Code></Error>'), Answer(401),
            Answer(404),
            Answer(410)]


def stream(client: RegistryClient) -> object:
    return b''.join(BlobSource(client, DESCRIPTOR).chunks())


def document(client: RegistryClient) -> object:
    return get_document(client, DESCRIPTOR, 'the config')


@pytest.fixture
def storage(server: Scripted) -> Iterator[Scripted]:
    """Where the registry keeps its blobs; each redirect there has a new signature."""
    with Scripted() as started:
        def redirect(request: Request) -> Answer:
            count = len(server.received('GET', PATH))
            return Answer(307, headers=[('Location', f'http://{started.host}/bucket?Signature=canary{count}')])
        server.routes[f'GET {PATH}'] = redirect
        yield started


@pytest.mark.parametrize('read', [stream, document])
@pytest.mark.parametrize('refusal', REFUSALS, ids=str)
def test_a_new_signed_url_is_requested_once(refusal: Answer, read: Callable[[RegistryClient], object], server: Scripted,
                                            storage: Scripted, settings: Settings) -> None:
    storage.routes['GET /bucket'] = [refusal, Answer(200, BLOB)]
    assert read(client_of(server.host, settings)) == BLOB
    assert [request.query['Signature'] for request in storage.requests] == [['canary1'], ['canary2']]
    assert settings.requests.retries == 1


@pytest.mark.parametrize('read', [stream, document])
@pytest.mark.parametrize('refusal', REFUSALS[:4], ids=str)
def test_a_storage_that_refuses_is_named(refusal: Answer, read: Callable[[RegistryClient], object], server: Scripted,
                                         storage: Scripted, settings: Settings) -> None:
    storage.routes['GET /bucket'] = refusal
    with pytest.raises(ServiceError) as error:
        read(client_of(server.host, settings, ('me', 'secret')))
    text = str(error.value)
    assert f'{storage.host}, the storage that {server.host} redirects to, refuses the address' in text
    assert f'HTTP {refusal.status}' in text and 'canary' not in text and 'credentials' not in text
    assert ('Request has expired' in text) == (refusal.body == EXPIRED)
    assert len(storage.requests) == 2


def test_a_head_that_is_redirected_to_a_url_for_get_is_not_repeated(server: Scripted, storage: Scripted,
                                                                    settings: Settings) -> None:
    server.routes[f'HEAD {PATH}'] = Answer(307, headers=[('Location', f'http://{storage.host}/bucket?Signature=get')])
    storage.routes |= {'HEAD /bucket': Answer(403),
                       'GET /bucket': Answer(206, b'c', [('Content-Range', f'bytes 0-0/{len(BLOB)}')])}
    assert blob_size(client_of(server.host, settings), DESCRIPTOR) == len(BLOB)
    assert [request.method for request in storage.requests] == ['HEAD', 'GET']


def test_a_refusal_of_the_registry_itself_stays_its_own(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = Answer(403)
    with pytest.raises(ServiceError, match='requires credentials'):
        stream(client_of(server.host, settings))
    assert len(server.received('GET', PATH)) == 1


@pytest.mark.parametrize(('destination', 'words'), [
    ('quay://team/app:v1', 'quay:// is a source only: push to registry://quay.io/ORGANISATION/REPOSITORY:TAG'),
    ('dockerpush://app:v1', 'dockerpush:// is a source only: give docker:// as destination'),
    ('list://images', 'list:// is a source only: '), ('plan://plan', 'plan:// is a source only: ')])
def test_sources_as_destinations(destination: str, words: str, occystrap: CommandLine) -> None:
    line, = occystrap('process', 'registry://registry.example/app:v1', destination).assert_code(2).err.splitlines()
    assert words in line


@pytest.mark.parametrize('path', ['app:v1', 'app@sha256:1', f'app@sha256:{"0" * 64}', 'app:v1@sha256:1', '*', 'UPPER',
                                  'app', '', 'app?foo=1'])
def test_the_user_of_an_address_is_not_shown(path: str, occystrap: CommandLine) -> None:
    line, = occystrap('tags', f'registry://canary@registry.example/{path}').assert_code(2).err.splitlines()
    assert 'canary' not in line
    if path.startswith('app:') or '@' in path:
        assert f'registry://registry.example/{path} names one image' in line


LOGIN = 'log in with occystrap login'


@pytest.mark.parametrize(('path', 'answer', 'words'), [
    ('/app', Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')]), ('requires credentials', LOGIN)),
    ('/app', Answer(401), ('requires credentials', LOGIN)), ('/app', Answer(403), ('requires credentials', LOGIN)),
    ('/app', Answer(404), ('has no such repository, or it needs a login (occystrap login)',)),
    ('', Answer(401), ('catalog', LOGIN, 'give the repository')),
    ('', Answer(403), ('catalog', LOGIN, 'give the repository')),
], ids=str)
def test_tags_without_a_login(path: str, answer: Answer, words: tuple[str, ...], server: Scripted,
                              occystrap: CommandLine,
                              ) -> None:
    server.answer = lambda request: answer  # type: ignore[method-assign]
    line, = occystrap('tags', f'registry://{server.host}{path}').assert_code(1).err.splitlines()
    assert all(word in line for word in (server.host, *words))


def test_with_a_login_a_repository_does_not_exist(server: Scripted, occystrap: CommandLine) -> None:
    login = {'OCCYSTRAP_USERNAME': 'me', 'OCCYSTRAP_PASSWORD': 'canary-password'}
    done = occystrap('tags', f'registry://{server.host}/app', env=login).assert_code(1)
    assert done.err.endswith('has no such repository\n') and 'canary' not in done.err


BAD = ['http://h:99999/', 'http://h:-1/', 'http://h:0/', 'http://h:x/', 'http://[::g]/', 'http://[:::1]:1/']


@pytest.mark.parametrize('url', BAD)
@pytest.mark.parametrize('method', ['GET', 'POST', 'PUT'])
def test_impossible_redirects_are_not_tried_again(method: str, url: str, server: Scripted, settings: Settings) -> None:
    server.routes[f'{method} /x'] = Answer(307, headers=[('Location', url)])
    with pytest.raises(ServiceError, match=f'^{server.host} redirects to a malformed URL$'):
        client_of(server.host, settings).fetch(method, '/x', '', {'Content-Length': '0'})
    assert len(server.received(method, '/x')) == 1


@pytest.mark.parametrize('realm', BAD)
def test_impossible_realms(realm: str, server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = Answer(401, headers=[('WWW-Authenticate', f'Bearer realm="{realm}"')])
    with pytest.raises(ServiceError, match=f'^{server.host} names a malformed URL as its token server$'):
        client_of(server.host, settings).fetch('GET', '/x', '')


def test_a_source_of_tokens_that_is_down_is_named_as_that(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = Answer(401, headers=[('WWW-Authenticate', 'Bearer realm="http://127.0.0.1:1/token"')])
    with pytest.raises(ServiceError, match=f'127.0.0.1:1.*{server.host} names it as its token server'):
        client_of(server.host, settings).fetch('GET', '/x', '')


def test_another_registry_that_breaks_off_leaves_no_answer_open(server: Scripted, settings: Settings) -> None:
    challenge = [('WWW-Authenticate', 'Bearer realm="http://REALM/token"')]
    with Scripted() as other:
        other.routes |= {
            'GET /v2/x': lambda request: Answer(silent=True) if request.authorization else Answer(
                401, headers=[(challenge[0][0], challenge[0][1].replace('REALM', other.host))]),
            'GET /token': Answer(200, b'{"token": "everybody"}')}
        server.routes['GET /v2/x'] = Answer(307, headers=[('Location', f'http://{other.host}/v2/x')])
        client = client_of(server.host, settings)
        with pytest.raises(ServiceError):
            client.fetch('GET', '/v2/x', 'repository:x:pull')
        assert not client._connections._in_use


@pytest.mark.parametrize('path', ['/v2/', '/v2/app/tags/list', f'/v2/app/referrers/{DESCRIPTOR.digest}'])
def test_a_web_site_that_a_registry_redirects_to_is_asked_once(path: str, server: Scripted, settings: Settings) -> None:
    with Scripted() as site:
        server.routes[f'GET {path}'] = Answer(302, headers=[('Location', f'http://{site.host}/about')])
        assert client_of(server.host, settings).fetch('GET', path, '').status == 404
        assert len(site.received('GET', '/about')) <= (2 if path == '/v2/' else 1), 'once more for the scheme'
