"""What a registry lists: all of it, page by page, in each of the ways that registries have; and what patterns mean."""
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from occystrap_core import AccessDenied, ImageNotFound, ServiceError, Settings
from occystrap_core.oci import Excluded, Reference
from occystrap_core.sources.selection import select
from occystrap_registry.commands.tags import _location
from occystrap_registry.distribution.catalog import list_repositories, list_tags
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.input import RegistryInput
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of, location

TAGS = 'GET /v2/app/tags/list'
CATALOG = 'GET /v2/_catalog'
UNKNOWN = Answer(404, b'{"errors": [{"code": "NAME_UNKNOWN"}]}')


def tags_of(names: object, *headers: tuple[str, str]) -> Answer:
    """Return a page of tags."""
    return Answer(200, json.dumps({'name': 'app', 'tags': names}).encode(), headers)


def catalog_of(names: object) -> Answer:
    """Return a catalog of one page."""
    return Answer(200, json.dumps({'repositories': names}).encode())


def matched(server: Scripted, path: str, settings: Settings, exclude: str = '') -> list[str]:
    """Return the references that a pattern means, without their host."""
    where = location(f'{server.host}/{path}', exclude=Excluded.parse(exclude))
    images = RegistryInput(where, settings)
    try:
        return [str(each).removeprefix(f'{server.host}/') for each in select(images, where).references]
    finally:
        images.close()


@pytest.fixture
def client(server: Scripted, settings: Settings) -> Iterator[RegistryClient]:
    """A client of the scripted server."""
    opened = client_of(server.host, settings)
    yield opened
    opened.close()


@pytest.fixture
def team(server: Scripted) -> Scripted:
    """A registry with five repositories, of which one has no tags any more."""
    repositories = {'team/app': ['v1.10', 'v1.9', 'v2.0', 'v1.9-rc1'], 'team/tool': ['v1.1', 'latest'], 'team/gone': [],
                    'team/sub/deep': ['v1.0'], 'other/app': ['v1.0']}
    server.routes[CATALOG] = catalog_of(list(repositories))
    for name, tags in repositories.items():
        server.routes[f'GET /v2/{name}/tags/list'] = tags_of(tags) if tags else UNKNOWN
    return server


def linked(pages: Sequence[Sequence[str]], link: str = '</v2/app/tags/list?last={last}&n=2>; rel="next"') -> Scripted:
    """Let a server give pages with a Link to each that follows."""
    def answer(request: Request) -> Answer:
        number = int(request.query.get('last', ['0'])[0])
        headers = [('Link', link.format(last=number + 1))] if number + 1 < len(pages) else []
        return tags_of(pages[number], *headers)
    return Scripted({TAGS: answer})


@pytest.mark.parametrize('link', [
    '</v2/app/tags/list?last={last}&n=2>; rel="next"', '<?last={last}>;rel=next',
    '<http://unreachable.invalid:1/v2/app/tags/list?last={last}>; title="x"; REL="next"',
    '</first>; rel="prev", </v2/app/tags/list?last={last}>; rel="next"', '</v2/app/tags/list?last={last}&n=2>',
    '/v2/app/tags/list?last={last}&n=2; rel="next"', '/v2/app/tags/list?last={last}&n=2', "<?last={last}>; rel='next'",
    '<?last={last}>; rel="prefetch next"', '<?last={last}>; title="a, b"; rel=next; x=y', '<?last={last}>; REL=NEXT',
    '</first?last=9>; title="; rel=next"; rel=prev, <?last={last}>; title="<a \\" b>"; rel="next"',
    '< ?last={last} >; anchor="#x"; rel="next"'])
def test_links_are_followed_to_the_end_at_the_registry_itself(link: str, settings: Settings) -> None:
    with linked([['a', 'b'], ['c', 'd'], [], ['d', 'e']], link) as server:
        client = client_of(server.host, settings)
        assert list(list_tags(client, 'app')) == ['a', 'b', 'c', 'd', 'e']
        client.close()
        assert all(request.path in ('/v2/', '/v2/app/tags/list') for request in server.requests)


def test_full_pages_without_a_link(server: Scripted, client: RegistryClient) -> None:
    names = [f't{number:02}' for number in range(25)]

    def answer(request: Request) -> Answer:
        after = request.query.get('last', [''])[0]
        return tags_of([name for name in names if name > after][:int(request.query['n'][0])])
    server.routes[TAGS] = answer
    assert list(list_tags(client, 'app', page=10)) == names
    assert [request.query.get('last') for request in server.received('GET', '/v2/app/tags/list')] == [None, ['t09'],
                                                                                                      ['t19']]


def test_a_registry_without_pages(server: Scripted, client: RegistryClient) -> None:
    server.routes[TAGS] = tags_of([f't{number}' for number in range(10)])
    assert len(list(list_tags(client, 'app', page=3))) == 10 and len(server.received('GET', '/v2/app/tags/list')) == 1
    assert len(list(list_tags(client, 'app', page=10))) == 10, 'the same page again is the end'


@pytest.mark.parametrize('status', [400, 404, 405, 501])
def test_a_full_page_of_a_registry_that_knows_no_last(status: int, server: Scripted, client: RegistryClient) -> None:
    server.routes[TAGS] = lambda request: Answer(status) if 'last' in request.query else tags_of(['a', 'b', 'c'])
    assert list(list_tags(client, 'app', page=3)) == ['a', 'b', 'c']


def test_a_full_page_and_then_the_page_of_a_proxy(server: Scripted, client: RegistryClient) -> None:
    server.routes[TAGS] = lambda request: (Answer(404, b'\n<html>') if 'last' in request.query else
                                           tags_of(['a', 'b', 'c']))
    with pytest.raises(ServiceError, match='the tags of .*/app cannot be read'):
        list(list_tags(client, 'app', page=3))


@pytest.mark.parametrize('status', [401, 403, 404, 405, 429, 500, 503])
def test_a_next_page_that_cannot_be_read_is_an_error(status: int, settings: Settings) -> None:
    pages = [tags_of(['a', 'b'], ('Link', '<?last=b>; rel="next"')), Answer(status)]
    with Scripted({TAGS: pages}) as server:
        client = client_of(server.host, settings)
        with pytest.raises((ServiceError, AccessDenied)):
            list(list_tags(client, 'app'))
        client.close()


@pytest.mark.parametrize('link', [
    '<?last=b>; rel="prev"', '<?n=2>; rel="first", <?n=9>; rel=last', '</docs>; rel=help'])
def test_other_links_lead_nowhere(link: str, server: Scripted, client: RegistryClient) -> None:
    server.routes[TAGS] = tags_of(['a', 'b'], ('Link', link))
    assert list(list_tags(client, 'app')) == ['a', 'b'] and len(server.received('GET', '/v2/app/tags/list')) == 1


def test_a_registry_that_likes_smaller_pages(server: Scripted, client: RegistryClient) -> None:
    server.routes[TAGS] = lambda request: Answer(400) if 'n' in request.query else tags_of(['a'])
    assert list(list_tags(client, 'app')) == ['a']


def test_no_more_pages_are_requested_than_needed(settings: Settings) -> None:
    with linked([['a', 'b'], ['c', 'd']]) as server:
        client = client_of(server.host, settings)
        assert next(list_tags(client, 'app', page=2)) == 'a'
        assert len(server.received('GET', '/v2/app/tags/list')) == 1
        client.close()


def test_empty_and_missing_repositories(server: Scripted, client: RegistryClient) -> None:
    server.routes[TAGS] = tags_of(None)
    assert list(list_tags(client, 'app')) == []
    with pytest.raises(ImageNotFound, match=f'{server.host}/gone does not exist'):
        list(list_tags(client, 'gone'))


@pytest.mark.parametrize(('answer', 'words'), [
    (Answer(404), 'has no catalog .HTTP 404.'), (Answer(401), 'requires credentials'),
    (Answer(403), 'denies access to its'),
    (Answer(405, b'{"errors": [{"code": "UNSUPPORTED"}]}'), 'has no catalog'),
    (Answer(422, b'{"errors": [{"code":"UNSUPPORTED"}]}'), 'has no catalog'), (Answer(501), 'has no catalog')])
def test_no_catalog(answer: Answer, words: str, server: Scripted, client: RegistryClient) -> None:
    server.routes[CATALOG] = answer
    with pytest.raises((ServiceError, AccessDenied), match=f'{server.host} .*{words}') as caught:
        list(list_repositories(client))
    assert 'list://' in str(caught.value) and 'give the repository' in str(caught.value)


@pytest.mark.parametrize(('pattern', 'options', 'found'), [
    ('team/*:v1.*', {}, ['team/app:v1.9', 'team/app:v1.9-rc1', 'team/app:v1.10', 'team/tool:v1.1']),
    ('team/**:v1.?', {}, ['team/app:v1.9', 'team/sub/deep:v1.0', 'team/tool:v1.1']),
    ('**/app:v[12].0', {}, ['other/app:v1.0', 'team/app:v2.0']),
    ('team/*', {}, ['team/tool:latest']),
    ('team/app:*', {'exclude': ':*-rc*,team/app:v2*'}, ['team/app:v1.9', 'team/app:v1.10']),
    ('team/*:*', {'exclude': 'team/a*'}, ['team/tool:latest', 'team/tool:v1.1']),
    ('team/app:v1.9', {}, ['team/app:v1.9'])])
def test_patterns(pattern: str, options: dict[str, str], found: list[str], team: Scripted, settings: Settings) -> None:
    assert matched(team, pattern, settings, **options) == found


@pytest.mark.parametrize('answer', [
    Answer(404), Answer(404, b'<html>not here</html>'), Answer(404, b'{"errors":[{"code":"UNAUTHORIZED"}]}'),
    Answer(404, b'{"errors":[{"code":"NOT_FOUND"}]}'), Answer(302, b'', [('Location', '/login')]), Answer(200),
    Answer(200, b'<html>sign in</html>'), Answer(200, b'{}'), Answer(200, b'{"errors":[{"code":"NAME_UNKNOWN"}]}'),
    Answer(204),
    Answer(404, b'{"errors": [{"code": "NAME_UNKNOWN"', cut=20), Answer(403), Answer(410), Answer(503)])
def test_only_the_registry_s_own_word_makes_a_repository_of_the_catalog_empty(answer: Answer, team: Scripted,
                                                                              settings: Settings) -> None:
    """What is there is unknown after any other answer: pruning would take that for nothing."""
    team.routes['GET /v2/team/tool/tags/list'] = answer
    with pytest.raises((ServiceError, AccessDenied), match=f'team/tool|{team.host}'):
        matched(team, 'team/*:*', settings)
    assert matched(team, 'team/*:*', settings, 'team/tool')
    for nothing in (UNKNOWN, tags_of(None), tags_of([])):
        team.routes['GET /v2/team/tool/tags/list'] = nothing
        assert all('team/app' in each for each in matched(team, 'team/*:*', settings))


def test_a_named_repository_needs_no_catalog(team: Scripted, settings: Settings) -> None:
    team.routes[CATALOG] = Answer(401)
    assert matched(team, 'team/tool:*', settings) == ['team/tool:latest', 'team/tool:v1.1']
    assert not team.received('GET', '/v2/_catalog')


def test_excluded_repositories_are_not_asked_for(team: Scripted, settings: Settings) -> None:
    matched(team, 'team/*:*', settings, exclude='team/app')
    assert not team.received('GET', '/v2/team/app/tags/list') and not team.received('GET', '/v2/other/app/tags/list')


@pytest.mark.parametrize(('pattern', 'options', 'words'), [
    ('none/*', {}, 'no repository in the catalog matches; available: other/app, team/gone, team/app, team/tool, '
                   'team/sub/deep'),
    ('team/app:v9*', {}, 'no tag matches; available: v1.9, v1.9-rc1, v2.0, v1.10'),
    ('team/*:v9*', {}, r'no tag matches in the 3 repositories that match; available: v1.9, v1.9-rc1, v1.1, v2.0, '
                       'v1.10 and 1 more'),
    ('team/*:*', {'exclude': '**'}, 'no repository in the catalog matches'),
    ('team/app:v1.9', {'exclude': 'team/app'}, 'is excluded: change exclude='),
    ('team/gone:*', {}, 'team/gone does not exist')])
def test_nothing_matches(pattern: str, options: dict[str, str], words: str, team: Scripted, settings: Settings) -> None:
    with pytest.raises(ImageNotFound, match=words) as caught:
        matched(team, pattern, settings, **options)
    assert str(caught.value).startswith(f'{team.host}/')


def test_images_of_a_pattern_are_read_from_their_own_repositories(tmp_path: Path, settings: Settings) -> None:
    from occystrap_registry.server.server_thread import RegistryServer
    from tests.unit.registry.images import push
    with RegistryServer(tmp_path / 'registry') as server:
        for name in ('team/a:1', 'team/b:1'):
            push(server.host, settings, name=name)
        found = [Reference.parse(f'{server.host}/{name}', with_host=True) for name in ('team/a:1', 'team/b:1')]
        images = RegistryInput(location(f'{server.host}/team/*:1'), settings)
        for reference in found:
            with images.open(reference) as image:
                assert image.reference == reference
                assert all(layer.stored().drain() for layer in image.layers)
        images.close()


def test_images_are_given_while_further_names_are_listed(team: Scripted, settings: Settings) -> None:
    names = ['team/app', 'team/tool', 'other/app', 'team/sub/deep']
    for name, tags in (('team/late', ['v1.0']), ('team/last', ['v1.0', 'latest'])):
        team.routes[f'GET /v2/{name}/tags/list'] = tags_of(tags)

    def catalog(request: Request) -> Answer:
        after = request.query.get('last', [''])[0]
        if after == 'team/last':
            return catalog_of([])
        page = catalog_of(['team/late', 'team/last'] if after else names)
        return Answer(200, page.body, [('Link', f'</v2/_catalog?last={"team/last" if after else "z"}>; rel="next"')])
    team.routes[CATALOG] = catalog
    images = RegistryInput(location(f'{team.host}/team/*:v*', exclude=Excluded.parse('team/late')), settings)
    parts = iter(images.stream())
    assert [each.familiar for each in next(parts)][0].endswith('team/app:v1.10')
    assert len(team.received('GET', '/v2/_catalog')) == 1
    rest = [each.repository for part in parts for each in part]
    assert rest == ['team/tool', 'team/last'] and len(team.received('GET', '/v2/_catalog')) == 3
    images.close()


def test_a_stream_of_more_tags_than_a_list_may_have_goes_on(server: Scripted, settings: Settings,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_registry.distribution.pages.MOST', 10)
    server.routes[TAGS] = lambda request: tags_of(
        [f'v{number}' for number in range(int(request.query.get('last', ['v0'])[0][1:]) + 1, 2001)][:1000])
    images = RegistryInput(location(f'{server.host}/app:v*'), settings)
    assert [len(part) for part in images.stream()] == [1000, 1000]
    with pytest.raises(ServiceError, match='endless list'):
        list(images.references())
    images.close()


def test_a_stream_without_a_match_says_what_is_there_as_a_list_does(team: Scripted, settings: Settings) -> None:
    for path in ('team/*:beta', 'nobody/*:v1', 'team/app:beta*'):
        images = RegistryInput(location(f'{team.host}/{path}'), settings)
        with pytest.raises(ImageNotFound) as streamed:
            list(images.stream())
        with pytest.raises(ImageNotFound) as listed:
            list(images.references())
        assert str(streamed.value) == str(listed.value) and streamed.value.nothing_matches
        images.close()


@pytest.mark.parametrize(('written', 'meant'), [
    ('registry.example', 'registry.example'), ('registry.example/app', 'registry.example/app'),
    ('localhost', 'localhost'), ('h:5000/app?insecure=true', 'h:5000/app'), ('user:word@h/app', 'user:word@h/app'),
    ('alpine', 'docker.io/alpine'), ('team/app', 'docker.io/team/app'), ('registry://team/app', 'team/app')])
def test_names_without_a_scheme_mean_what_they_mean_elsewhere(written: str, meant: str) -> None:
    assert _location(written).path == meant
