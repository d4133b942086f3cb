"""Patterns for repositories and tags: what they match, what is left out, in which order, and which are refused."""
import pytest

from occystrap_core import Settings, UsageError
from occystrap_core.oci import Excluded, Reference, compile_pattern, sort_references
from occystrap_registry.transport.address import parse_address
from tests.unit.registry.scripted import location


@pytest.mark.parametrize(('pattern', 'matches', 'others'), [
    ('team/*', ['team/a', 'team/a-b'], ['team', 'team/a/b', 'xteam/a']),
    ('*', ['a'], ['a/b']),
    ('**', ['a', 'a/b', 'a/b/c'], []),
    ('team/**', ['team/a', 'team/a/b'], ['team', 'steam/a']),
    ('**/app', ['app', 'a/app', 'a/b/app'], ['xapp', 'app/x']),
    ('team/**/app', ['team/app', 'team/a/b/app'], ['team/xapp', 'teamapp']),
    ('v1.?', ['v1.2'], ['v1.', 'v1.22', 'v1x2']),
    ('a?b', ['axb'], ['a/b']),
    ('v[0-9]', ['v1'], ['vx', 'v', 'v12']),
    ('v[!0-9]', ['vx'], ['v1', 'v/']),
    ('v[^0-9]', ['vx'], ['v1', 'v/']),
    ('[a-]', ['a', '-'], ['b']),
    ('[]a]', [']', 'a'], ['b']),
    ('a.b+c(d|e)', ['a.b+c(d|e)'], ['axb+cd', 'a.bbcd']),
])
def test_patterns(pattern: str, matches: list[str], others: list[str]) -> None:
    assert all(compile_pattern(pattern).fullmatch(name) for name in matches)
    assert not any(compile_pattern(pattern).fullmatch(name) for name in others)


@pytest.mark.parametrize(('path', 'repository', 'tag', 'shown', 'host'), [
    ('host.example/team/*:v1.*', 'team/*', 'v1.*', 'host.example/team/*:v1.*', 'host.example'),
    ('host.example:5000/team/*', 'team/*', 'latest', 'host.example:5000/team/*:latest', 'host.example:5000'),
    ('[::1]:5000/app:*', 'app', '*', '[::1]:5000/app:*', '[::1]:5000'),
    ('user:pass@host.example/app:v[12]', 'app', 'v[12]', 'host.example/app:v[12]', 'host.example'),
    ('docker.io/busybox:1.*', 'library/busybox', '1.*', 'docker.io/library/busybox:1.*', 'registry-1.docker.io'),
    ('docker.io/team/app:1.?', 'team/app', '1.?', 'docker.io/team/app:1.?', 'registry-1.docker.io'),
    ('index.docker.io/*', 'library/*', 'latest', 'index.docker.io/library/*:latest', 'registry-1.docker.io'),
])
def test_addresses(path: str, repository: str, tag: str, shown: str, host: str) -> None:
    address = parse_address(location(path), Settings(), patterns=True)
    reference = address.reference
    assert (reference.repository, reference.tag, str(reference), address.host) == (repository, tag, shown, host)


@pytest.mark.parametrize('path', [
    'host.example/App*', 'host.example/a b*', 'host.example/*:', 'host.example/a*:v1:*', 'ho st/*', '/*', '*',
    f'host.example/*@sha256:{"a" * 64}', 'host.example/[a', 'host.example/a]', 'host.example/[]', 'host.example/[z-a]',
    f'host.example/{"a" * 300}*', 'host.example/*\n'])
def test_patterns_that_nothing_can_match(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(location(path), Settings(), patterns=True)
    assert str(caught.value).isprintable()


def test_a_destination_has_no_patterns() -> None:
    with pytest.raises(UsageError, match=r'registry://host.example/team/\*:v1 is a pattern.*\{repository\}:\{tag\}'):
        parse_address(location('user:canary@host.example/team/*:v1'), Settings())


@pytest.mark.parametrize(('text', 'left'), [
    ('', ['a/b:1', 'a/b:2-rc1', 'a/c:1']), ('a/b', ['a/c:1']), ('a/b:1', ['a/b:2-rc1', 'a/c:1']),
    ('a/*:*-rc*', ['a/b:1', 'a/c:1']), (':*-rc*', ['a/b:1', 'a/c:1']), (' a/b:1 , :2* ', ['a/c:1']),
    ('*', ['a/b:1', 'a/b:2-rc1', 'a/c:1']), ('**', []), ('a/?', [])])
def test_excluding(text: str, left: list[str]) -> None:
    images = [Reference.parse(each) for each in ('a/b:1', 'a/b:2-rc1', 'a/c:1')]
    excluded = Excluded.parse(text)
    assert [str(each) for each in images if each not in excluded] == left


@pytest.mark.parametrize('text', ['a b', 'a[', 'a@sha256:1', '"a"'])
def test_invalid_values_of_exclude(text: str) -> None:
    with pytest.raises(UsageError, match='exclude|pattern'):
        Excluded.parse(text)


def test_natural_order() -> None:
    names = ['b:1', 'a:v1.10', 'a:v1.9', 'a:v1.9-rc1', 'a:latest', 'a:10', 'a:9', 'a10:1', 'a9:1']
    assert [str(each) for each in sort_references(map(Reference.parse, names))] == [
        'a:9', 'a:10', 'a:latest', 'a:v1.9', 'a:v1.9-rc1', 'a:v1.10', 'a9:1', 'a10:1', 'b:1']
