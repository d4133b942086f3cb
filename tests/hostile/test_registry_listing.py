"""HOSTILE 51: registries whose listings never end, or list what is no name."""
import json
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from occystrap_core import ServiceError, Settings
from occystrap_registry.distribution import pages
from occystrap_registry.distribution.catalog import list_repositories, list_tags
from occystrap_registry.distribution.client import RegistryClient
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

_LONG = 500
PATHS = {'tags': '/v2/app/tags/list', 'repositories': '/v2/_catalog'}


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server whose answers a test sets."""
    with Scripted() as started:
        yield started


@pytest.fixture
def client(server: Scripted) -> Iterator[RegistryClient]:
    """A client without patience."""
    opened = client_of(server.host, Settings(timeout=5, retries=0))
    yield opened
    opened.close()


def listed(kind: str, client: RegistryClient, page: int = 10) -> list[str]:
    """Return all names."""
    return list(list_tags(client, 'app', page) if kind == 'tags' else list_repositories(client, page))


def always(kind: str, names: Callable[[], object], link: Callable[[], str] | None) -> Callable[[Request], Answer]:
    """Answer with new names, and a link to more, longer than anybody should ask; then end, so that the test ends."""
    answers = count()

    def answer(request: Request) -> Answer:
        if next(answers) > _LONG:
            return Answer(200, json.dumps({kind: []}).encode())
        headers = [('Link', f'<{PATHS[kind]}?{link()}>; rel="next"')] if link else []
        return Answer(200, json.dumps({kind: names()}).encode(), headers)
    return answer


@pytest.mark.parametrize('kind', PATHS)
def test_a_page_that_links_to_itself(kind: str, server: Scripted, client: RegistryClient) -> None:
    server.routes[f'GET {PATHS[kind]}'] = always(kind, lambda: ['a', 'b'], lambda: 'n=10&last=b')
    with pytest.raises(ServiceError, match=f'{server.host} sends an endless list.*list the images'):
        listed(kind, client)
    assert len(server.received('GET', PATHS[kind])) == 2


@pytest.mark.parametrize('kind', PATHS)
@pytest.mark.parametrize('names', [[], ['a', 'b']])
def test_ever_new_links_to_nothing_new(kind: str, names: list[str], server: Scripted, client: RegistryClient) -> None:
    numbers = count()
    server.routes[f'GET {PATHS[kind]}'] = always(kind, lambda: names, lambda: f'last={next(numbers)}')
    with pytest.raises(ServiceError, match='sends an endless list'):
        listed(kind, client)
    assert len(server.received('GET', PATHS[kind])) < 30


@pytest.mark.parametrize('kind', PATHS)
@pytest.mark.parametrize('with_links', [True, False])
def test_ever_new_names(kind: str, with_links: bool, server: Scripted, client: RegistryClient,
                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, 'MOST', 1000)
    numbers = count()

    def names() -> list[str]:
        return [f'name{next(numbers)}' for _ in range(10)]
    link = (lambda: f'last={next(numbers)}') if with_links else None
    server.routes[f'GET {PATHS[kind]}'] = always(kind, names, link)
    with pytest.raises(ServiceError, match='sends an endless list.*: 10[01]0 names'):
        listed(kind, client)
    assert len(server.received('GET', PATHS[kind])) <= 102


@pytest.mark.parametrize('kind', PATHS)
@pytest.mark.parametrize('body', [
    b'[' * 100_000, b'{}', b'[]', b'null', b'"', b'{"tags": "abc", "repositories": {"a": 1}}', b'\xff\xfe'])
def test_invalid_lists(kind: str, body: bytes, server: Scripted, client: RegistryClient) -> None:
    server.routes[f'GET {PATHS[kind]}'] = Answer(200, body)
    with pytest.raises(ServiceError, match='does not answer with a list'):
        listed(kind, client)


def test_a_page_that_does_not_end(server: Scripted, client: RegistryClient) -> None:
    server.routes[f'GET {PATHS["tags"]}'] = Answer(200, b'{"tags": ["a' + b'a' * (17 << 20))
    with pytest.raises(ServiceError, match='more than 16 MiB'):
        listed('tags', client)


@pytest.mark.parametrize('kind', PATHS)
@pytest.mark.parametrize('name', ['../../etc', 'a/../b', '', 'A' * 300, 'a\n b', '\x1b[2J', '%2e%2e', 'a?b', 'a@b', 'é',
                                  '/a', 'a/', f'a@sha256:{"a" * 64}', f'sha256:{"a" * 64}', '-ot-beta-jmx', 'A/B:c'])
def test_invalid_names_are_left_out(kind: str, name: str, server: Scripted, client: RegistryClient,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    server.routes[f'GET {PATHS[kind]}'] = Answer(200, json.dumps({kind: [name, 'fine', name, 'also']}).encode())
    assert listed(kind, client) == ['fine', 'also']
    warning, = capsys.readouterr().err.splitlines()
    assert warning.startswith('warning: 2 invalid names are left out of the ') and ', such as ' in warning
    assert warning.isprintable() and len(warning) < 500


@pytest.mark.parametrize('kind', PATHS)
@pytest.mark.parametrize('name', [1, ['a'], {'name': 'a'}])
def test_invalid_names(kind: str, name: object, server: Scripted, client: RegistryClient) -> None:
    server.routes[f'GET {PATHS[kind]}'] = Answer(200, json.dumps({kind: ['fine', name]}).encode())
    with pytest.raises(ServiceError, match='which is not a valid name') as caught:
        listed(kind, client)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.parametrize('link', ['<>; rel="next"', '</v2/app/tags/list>; rel="next"', '<?a b>; rel=next',
                                  '<http://[>; rel="next"', f'<?{"a" * 5000}>; rel="next"', 'nothing',
                                  '<>', '/v2/app/tags/list', '<?last=a; rel="next"', '<' * 50_000])
def test_links_to_nowhere(link: str, server: Scripted, client: RegistryClient) -> None:
    server.routes[f'GET {PATHS["tags"]}'] = Answer(200, b'{"tags": ["a"]}', [('Link', link)])
    with pytest.raises(ServiceError, match='malformed'):
        listed('tags', client)


def test_a_link_leads_to_no_other_host(server: Scripted, client: RegistryClient) -> None:
    with Scripted() as other:
        pages = [Answer(200, b'{"tags": ["a"]}', [('Link', f'<http://{other.host}/v2/x?last=a>; rel="next"')]),
                 Answer(200, b'{"tags": ["b"]}')]
        server.routes[f'GET {PATHS["tags"]}'] = pages
        assert listed('tags', client) == ['a', 'b'] and not other.requests
