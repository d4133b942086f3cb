"""quay://, against a small Quay: images found by its API, and errors for malformed answers."""
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from occystrap_core import AccessDenied, ImageNotFound, ServiceError, Settings, UsageError
from occystrap_core.plugins.resolver import open_source, source_location
from occystrap_core.sources.selection import select
from occystrap_core.testing.sample import sample_image
from occystrap_registry.quay.input import QuayInput
from tests.services.installed import installed_plugins
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Request, Answer, Scripted

JANUARY, JULY = 1704067200, 1719792000
QUAY = {'app': {'v1.9': JANUARY, 'v1.10': JULY, 'latest': JULY}, 'tool': {'v1.0': JANUARY, 'latest': JANUARY},
        'secret': {'v1.0': JULY}}
TOKEN = 'canary-token'


def json_answer(document: object) -> Answer:
    """Return an answer in JSON."""
    return Answer(200, json.dumps(document).encode())


def fake_quay(server: Scripted, organisation: str = 'org') -> None:
    """Let a server have Quay's API, two repositories and two tags a page; `secret` is for those with the token."""
    def repositories(request: Request) -> Answer:
        query = {name: values[0] for name, values in request.query.items()}
        assert query['public'] == 'true' and query['last_modified'] == 'true'
        names = [name for name in QUAY if name != 'secret' or request.authorization == f'Bearer {TOKEN}']
        start = int(query.get('next_page', '0'))
        page: dict[str, Any] = {'repositories': [
            {'namespace': organisation, 'name': name, 'kind': 'image', 'last_modified': max(QUAY[name].values())}
            for name in names[start:start + 2] if query['namespace'] == organisation]}
        page['repositories'].append({'namespace': organisation, 'name': 'A chart', 'kind': 'application'})
        return json_answer({**page, 'next_page': str(start + 2)} if start + 2 < len(names) else page)

    server.routes['GET /api/v1/repository'] = repositories
    for name, tags in QUAY.items():
        server.routes[f'GET /api/v1/repository/{organisation}/{name}/tag/'] = partial(_tags, tags)


def _tags(tags: Mapping[str, int], request: Request) -> Answer:
    assert request.query['onlyActiveTags'] == ['true']
    only, page = request.query.get('specificTag'), int(request.query['page'][0])
    names = [name for name in tags if not only or name in only]
    shown = [{'name': name, 'start_ts': tags[name]} for name in names[2 * page - 2:2 * page]]
    return json_answer({'tags': shown, 'page': page, 'has_additional': 2 * page < len(names)})


@pytest.fixture
def quay(server: Scripted) -> Scripted:
    """A server that has Quay's API."""
    fake_quay(server)
    return server


def opened(server: Scripted, path: str, settings: Settings, options: str = '') -> QuayInput:
    """Open a URI the way the core does."""
    plugins = installed_plugins()
    source = open_source(plugins, source_location(plugins, f'quay://{path}?host={server.host}{options}'), settings)
    assert isinstance(source, QuayInput)
    return source


def found(server: Scripted, path: str, settings: Settings, options: str = '') -> list[str]:
    """Return the references that a URI means, without their host."""
    images = opened(server, path, settings, options)
    try:
        return [str(each).removeprefix(f'{server.host}/') for each in select(images, images.location).references]
    finally:
        images.close()


@pytest.mark.parametrize(('path', 'options', 'names'), [
    ('org/*:*', '', ['org/app:latest', 'org/app:v1.9', 'org/app:v1.10', 'org/tool:latest', 'org/tool:v1.0']),
    ('org/*:v1.*', '', ['org/app:v1.9', 'org/app:v1.10', 'org/tool:v1.0']),
    ('org/a*', '', ['org/app:latest']),
    ('org/app:v1.*', '&exclude=:v1.9', ['org/app:v1.10']),
    ('org/app:v1.9', '', ['org/app:v1.9']),
    ('org/app', '', ['org/app:latest']),
    ('org/*:*', '&since=2024-01-02', ['org/app:latest', 'org/app:v1.10']),
    ('org/*:*', '&since=2024-01-01T00:00:00Z', ['org/app:latest', 'org/app:v1.9', 'org/app:v1.10', 'org/tool:latest',
                                                'org/tool:v1.0']),
    ('org/*:v1.9', '&since=2024-01-01T01:00:00+01:00', ['org/app:v1.9']),
    ('org/*:v1.0', f'&token={TOKEN}', ['org/secret:v1.0', 'org/tool:v1.0'])])
def test_repositories_and_tags_that_match(path: str, options: str, names: list[str], quay: Scripted,
                                          settings: Settings) -> None:
    assert found(quay, path, settings, options) == names


def test_a_named_repository_needs_no_api(quay: Scripted, settings: Settings) -> None:
    found(quay, 'org/app:v1.9', settings)
    assert not quay.requests
    found(quay, 'org/app:*', settings)
    assert not quay.received('GET', '/api/v1/repository')
    found(quay, 'org/*:*', settings, '&since=2024-06-01')
    assert not quay.received('GET', '/api/v1/repository/org/tool/tag/'), 'nothing there is as new as that'


def test_a_token_of_the_environment(quay: Scripted, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OCCYSTRAP_QUAY_TOKEN', TOKEN)
    assert found(quay, 'org/s*:*', settings) == ['org/secret:v1.0']


def test_the_token_is_for_the_api_alone(quay: Scripted, settings: Settings) -> None:
    with Scripted() as elsewhere:
        quay.routes['GET /api/v1/repository'] = Answer(302, headers=[('Location', f'http://{elsewhere.host}/stolen')])
        with pytest.raises(ImageNotFound) as caught:
            found(quay, 'org/*:*', settings, f'&token={TOKEN}')
        assert elsewhere.requests and not any(request.authorization for request in elsewhere.requests)
    assert all(request.authorization is None for request in quay.received('GET', '/v2/'))
    assert TOKEN not in str(caught.value)


def test_images_come_from_the_registry(quay: Scripted, settings: Settings) -> None:
    serve(quay, sample_image())
    for route in [route for route in quay.routes if '/v2/app/' in route]:
        quay.routes[route.replace('/v2/app/', '/v2/org/app/').replace('/v1', '/v1.10')] = quay.routes[route]
    images = opened(quay, 'org/*:v1.10', settings)
    reference, = images.references()
    with images.open(reference) as image:
        assert str(image.reference) == f'{quay.host}/org/app:v1.10' and len(image.layers) == 3
    images.close()
    assert str(images.location) == f'registry://{quay.host}/org/*:v1.10'


@pytest.mark.parametrize(('path', 'options', 'words'), [
    ('org/zzz*:*', '', 'no repository of org matches; available: org/app, org/tool'),
    ('none/*:*', '', 'no repository of none matches; there are no repositories'),
    ('org/*:v9', '', 'no tag matches in org/app, org/tool'),
    ('org/app:*', '&since=2030-01-01', 'no tag matches and is newer than 2030-01-01 00:00 UTC in org/app'),
    ('org/gone:*', '', 'does not list the tags of org/gone .HTTP 404.')])
def test_nothing_matches(path: str, options: str, words: str, quay: Scripted, settings: Settings) -> None:
    with pytest.raises(ImageNotFound, match=words):
        found(quay, path, settings, options)


@pytest.mark.parametrize(('path', 'options', 'words'), [
    ('org', '', 'quay://organisation/repository:tag'), ('org/', '', 'quay://organisation/repository:tag'),
    ('o*/app:v1', '', 'the organisation may not'), ('user:canary@org/app', '', 'quay://organisation/repository:tag'),
    ('org/App*', '', 'malformed repository'), ('org/app', '&since=yesterday', 'is not a date: give one such as 2024-'),
    ('org/app', '&token=canary%0Ax', 'invalid characters'), ('org/app', '&snice=1', "did you mean 'since'")])
def test_usage(path: str, options: str, words: str, quay: Scripted, settings: Settings) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        opened(quay, path, settings, options)
    assert 'canary' not in str(caught.value)


@pytest.mark.parametrize('status', [401, 403])
def test_access_denied(status: int, quay: Scripted, settings: Settings) -> None:
    quay.routes['GET /api/v1/repository'] = Answer(status, b'{"error": "canary-token"}')
    with pytest.raises(AccessDenied, match='OCCYSTRAP_QUAY_TOKEN'):
        found(quay, 'org/*:*', settings)
    with pytest.raises(AccessDenied, match='check the token') as caught:
        found(quay, 'org/*:*', settings, f'&token={TOKEN}')
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize('document', [
    [], {}, {'repositories': None}, {'repositories': ['app']}, {'repositories': [{'name': 1}]},
    {'repositories': [{'name': None}]}, {'repositories': [{'kind': 'image'}]}])
def test_answers_of_other_servers_than_quay(document: object, quay: Scripted, settings: Settings) -> None:
    quay.routes['GET /api/v1/repository'] = json_answer(document)
    with pytest.raises(ServiceError) as caught:
        found(quay, 'org/*:*', settings)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize('name', ['../x', 'a\x1b[2J', 'App'])
def test_names_that_no_repository_can_have_are_left_out(name: str, quay: Scripted, settings: Settings,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    quay.routes['GET /api/v1/repository'] = json_answer({'repositories': [{'name': name}]})
    with pytest.raises(ImageNotFound):
        found(quay, 'org/*:*', settings)
    assert capsys.readouterr().err.startswith('warning: 1 invalid name is left out of the repositories of org')


def test_pages_that_never_end(quay: Scripted, settings: Settings) -> None:
    quay.routes['GET /api/v1/repository/org/app/tag/'] = json_answer({'tags': [{'name': 'a'}], 'has_additional': True})
    with pytest.raises(ServiceError, match='sends an endless list'):
        found(quay, 'org/app:*', settings)
    quay.routes['GET /api/v1/repository'] = json_answer({'repositories': [], 'next_page': 'again'})
    with pytest.raises(ServiceError, match='sends an endless list'):
        found(quay, 'org/*:*', settings)
    assert len(quay.requests) < 40


def test_a_tag_of_unknown_age(quay: Scripted, settings: Settings) -> None:
    tags = [{'name': 'old', 'last_modified': 'Mon, 01 Jan 2024 00:00:00 -0000'}, {'name': 'odd', 'last_modified': 'x'},
            {'name': 'new', 'last_modified': 'Mon, 01 Jul 2024 00:00:00 GMT'}]
    quay.routes['GET /api/v1/repository/org/app/tag/'] = json_answer({'tags': tags})
    with pytest.raises(ServiceError, match='does not report when org/app:odd was'):
        found(quay, 'org/app:*', settings, '&since=2024-06-01')
    assert found(quay, 'org/app:*', settings) == ['org/app:new', 'org/app:odd', 'org/app:old']
    assert found(quay, 'org/app:*', settings, '&since=2024-06-01&exclude=:odd') == ['org/app:new']
