"""Proxies: which one the environment names, by the rules of Go's httpproxy, and messages about those that fail."""
import socket
from pathlib import Path

import pytest

from occystrap_core import ServiceError, ServiceUnavailable, Settings, UsageError
from occystrap_core.oci import Reference
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport.address import Address
from occystrap_registry.transport.proxies import proxy_for
from occystrap_registry.transport.url import parse_url
from tests.services.raw_server import plain, raw_server
from tests.services.socks_proxy import socks_proxy
from tests.unit.registry.scripted import Answer, Scripted

URL = 'http://proxy.example:3128'
SECRET = 'CANARY'


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests."""
    for name in ('HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY', 'REQUEST_METHOD'):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def chosen(url: str) -> str | None:
    proxy = proxy_for(parse_url(url))
    return proxy and f'{proxy.scheme}://{proxy.netloc}'


@pytest.mark.parametrize(('listed', 'url', 'direct'), [
    ('*', 'https://a.example', True), (' * ', 'https://a.example', True), ('', 'https://a.example', False),
    ('a.example', 'https://a.example', True), ('A.Example', 'https://a.EXAMPLE', True),
    ('example', 'https://a.example', True), ('a.example', 'https://b.a.example', True),
    ('a.example', 'https://ba.example', False), ('.a.example', 'https://a.example', False),
    ('.a.example', 'https://b.a.example', True), ('*.a.example', 'https://b.c.a.example', True),
    ('*.a.example', 'https://a.example', False), ('b,a.example', 'https://a.example', True),
    (' b , a.example ', 'https://a.example', True), ('a.example:443', 'https://a.example', True),
    ('a.example:80', 'http://a.example', True), ('a.example:5000', 'https://a.example:5000', True),
    ('a.example:5000', 'https://a.example', False), ('a.example:80', 'https://a.example', False),
    ('10.9.8.7', 'https://10.9.8.7:5000', True), ('10.9.8.7:5000', 'https://10.9.8.7:5000', True),
    ('10.9.8.7:5001', 'https://10.9.8.7:5000', False), ('10.0.0.0/8', 'https://10.9.8.7:5000', True),
    ('10.1.2.3/8', 'https://10.9.8.7', True), ('10.0.0.0/16', 'https://10.9.8.7', False),
    ('9.8.7', 'https://10.9.8.7', False), ('8.7', 'https://10.9.8.7', False),
    ('fe80::/10', 'https://[fe80::1]:5000', True), ('fd07:b51a:cc66:f0::/64', 'https://[fd07:b51a:cc66:f0::9]', True),
    ('fd07:b51a:cc66:f0::/64', 'https://[fd07:b51a:cc66:f1::9]', False),
    ('2001:db8::1', 'https://[2001:db8::1]', True),
    ('[2001:db8::1]', 'https://[2001:db8:0::1]', True), ('[2001:db8::1]:5000', 'https://[2001:db8::1]:5000', True),
    ('[2001:db8::1]:5000', 'https://[2001:db8::1]', False), ('[2001:db8::]/32', 'https://[2001:db8::1]', True),
    ('::ffff:10.9.8.7', 'https://10.9.8.7', True), ('10.0.0.0/8', 'https://[::ffff:10.9.8.7]', True),
    ('bücher.example', 'https://xn--bcher-kva.example', True),
    ('xn--bcher-kva.example', 'https://bücher.example', True),
    *((odd, 'https://a.example', False) for odd in (
        'foo bar', 'http://x y/', 'a:b:c', '%', '.', '*.', '..', ':443', '/', '[', ']:1', '10.0.0.0/99', 'x/8', ',,,')),
])
def test_hosts_that_no_proxy_lists(listed: str, url: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ALL_PROXY', URL)
    monkeypatch.setenv('NO_PROXY', listed)
    assert chosen(url) == (None if direct else URL)


@pytest.mark.parametrize('url', [
    'https://localhost', 'http://127.9.9.9:5000', 'http://[::1]:5000', 'http://a.localhost'])
def test_this_machine_is_reached_directly(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ALL_PROXY', URL)
    assert chosen(url) is None


@pytest.mark.parametrize(('variables', 'url', 'expected'), [
    ({'HTTPS_PROXY': 'http://s:1', 'HTTP_PROXY': 'http://p:1'}, 'https://a.example', 'http://s:1'),
    ({'HTTPS_PROXY': 'http://s:1', 'HTTP_PROXY': 'http://p:1'}, 'http://a.example', 'http://p:1'),
    ({'HTTPS_PROXY': 'http://s:1'}, 'http://a.example', None),
    ({'https_proxy': 'http://s:1'}, 'https://a.example', 'http://s:1'),
    ({'HTTPS_PROXY': 'http://upper:1', 'https_proxy': 'http://l:1'}, 'https://a.example', 'http://upper:1'),
    ({'HTTPS_PROXY': '', 'all_proxy': 'http://a:1'}, 'https://a.example', 'http://a:1'),
    ({'ALL_PROXY': 'proxy.example'}, 'https://a.example', 'http://proxy.example'),
    ({'ALL_PROXY': 'SOCKS5H://[2001:db8::1]:1080/'}, 'https://a.example', 'socks5h://[2001:db8::1]:1080'),
    ({'HTTP_PROXY': 'http://attacker:1', 'REQUEST_METHOD': 'GET'}, 'http://a.example', None),
])
def test_which_variable_counts(variables: dict[str, str], url: str, expected: str | None,
                               monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert chosen(url) == expected


@pytest.mark.parametrize('value', [
    f'http://user:{SECRET}#1@127.0.0.1:3128', f'http://user:{SECRET}/1@127.0.0.1:3128', f'http://user:{SECRET}?@h:1',
    f'user:{SECRET}', f'http://user:{SECRET}@h:port', f'http://user:{SECRET}@h:99999', f'{SECRET}://user@h:1',
    f'http://us er:{SECRET}@h:1', f'http://h:1/{SECRET}', f'http://[::g]:1/{SECRET}', f'socks://me:{SECRET}@h:1',
    f'ftp://me:{SECRET}@h:1', f'http:/me:{SECRET}@h', f'//me:{SECRET}@h', f'http://me:{SECRET}@@h:1',
    f'http://{SECRET}@:1',
])
def test_a_variable_that_names_no_proxy_is_not_quoted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HTTPS_PROXY', value)
    with pytest.raises(UsageError, match='HTTPS_PROXY') as caught:
        proxy_for(parse_url('https://a.example'))
    assert SECRET not in str(caught.value) and not caught.value.__context__


def test_a_login_may_have_any_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HTTPS_PROXY', f'http://a%40b:{SECRET}%23%2F:x@proxy.example:3128')
    proxy = proxy_for(parse_url('https://a.example'))
    assert proxy and proxy.login == (b'a@b', f'{SECRET}#/:x'.encode())
    assert SECRET not in f'{proxy} {proxy!r}'


def client(host: str = 'registry.invalid:5000', **given: float) -> RegistryClient:
    settings = Settings(**{'timeout': 2, 'retries': 0, **given})  # type: ignore[arg-type]
    return RegistryClient(Address(Reference('app'), host, insecure=True), settings)


@pytest.mark.parametrize('login', [None, ('a@b', 'p#w')])
@pytest.mark.parametrize(('host', 'target'), [
    ('registry.invalid:5000', 'registry.invalid:5000'), ('10.9.8.7:5000', '10.9.8.7:5000'),
    ('[2001:db8::1]:5000', '2001:db8::1:5000')])
def test_through_socks(login: tuple[str, str] | None, host: str, target: str, server: Scripted,
                       monkeypatch: pytest.MonkeyPatch) -> None:
    server.routes['GET /x'] = Answer(200, b'there')
    with socks_proxy(server.host) as proxy:
        proxy.login = login
        monkeypatch.setenv('ALL_PROXY', f'socks5://{"a%40b:p%23w@" if login else ""}{proxy.host}')
        assert client(host).fetch('GET', '/x', 's').body == b'there'
    assert set(proxy.requests) == {target}


@pytest.mark.parametrize(('changes', 'given', 'message'), [
    ({'reply': 5}, '', 'does not connect to registry.invalid:5000: connection refused'),
    ({'reply': 99}, '', 'unknown code 99'), ({'login': ('a', 'b')}, '', 'put USER:PASSWORD@ into ALL_PROXY'),
    ({'login': ('a', 'b')}, f'a:{SECRET}@', 'refuses the login of ALL_PROXY'),
    ({'garbage': b'HTTP/1.1 400 Bad Request\r\n\r\n'}, '', 'does not speak SOCKS5'), ({'garbage': b'\5'}, '', 'closed'),
])
def test_a_socks_proxy_that_does_not_connect(changes: dict[str, object], given: str, message: str, server: Scripted,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    with socks_proxy(server.host) as proxy:
        for name, value in changes.items():
            setattr(proxy, name, value)
        monkeypatch.setenv('ALL_PROXY', f'socks5h://{given}{proxy.host}')
        with pytest.raises(ServiceUnavailable, match=message) as caught:
            client().fetch('GET', '/x', 's')
    assert f'the proxy {proxy.host} (ALL_PROXY)' in str(caught.value) and SECRET not in str(caught.value)


@pytest.mark.parametrize('scheme', ['http', 'https', 'socks5'])
def test_a_proxy_that_is_down_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv('ALL_PROXY', f'{scheme}://me:{SECRET}@127.0.0.1:{port}')
    with pytest.raises(ServiceUnavailable) as caught:
        client().fetch('GET', '/x', 's')
    assert str(caught.value) == (f'connection refused by the proxy 127.0.0.1:{port} (ALL_PROXY): '
                                 'is a proxy running there?')


def test_a_proxy_whose_name_leads_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HTTPS_PROXY', f'http://me:{SECRET}@proxy.invalid:3128')
    with pytest.raises(ServiceUnavailable, match=r'^the proxy proxy\.invalid:3128 \(HTTPS_PROXY\) cannot be found'):
        RegistryClient(Address(Reference('app'), 'registry.invalid'), Settings(retries=0)).fetch('GET', '/x', 's')


@pytest.mark.parametrize(('status', 'advice'), [('502 Bad Gateway', ''), ('403 Forbidden', ''), (
    '407 Proxy Authentication Required', ': put USER:PASSWORD@ into HTTPS_PROXY')])
def test_a_proxy_that_makes_no_tunnel_is_named(status: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server() as proxy:
        proxy.answers['CONNECT registry.invalid:443'] = plain(b'', status=status)
        monkeypatch.setenv('HTTPS_PROXY', f'http://{proxy.host}')
        with pytest.raises(ServiceUnavailable) as caught:
            RegistryClient(Address(Reference('app'), 'registry.invalid'), Settings(retries=0)).fetch('GET', '/x', 's')
    assert str(caught.value) == (f'the proxy {proxy.host} (HTTPS_PROXY) does not connect to registry.invalid: '
                                 f'{status}{advice}')


@pytest.mark.parametrize('answer', [b'', b'SSH-2.0\r\n\r\n', plain(b'<html>'), plain(b'', status='204 No Content'),
                                    plain(b'', status='407 x'), plain(b'', status='502 x'), plain(b'', status='403 x')])
@pytest.mark.parametrize('insecure', [True, False])
def test_a_proxy_that_answers_in_place_of_the_host_is_named(answer: bytes, insecure: bool,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server() as proxy:
        proxy.answers = dict.fromkeys(('GET http://registry.invalid/x', 'CONNECT registry.invalid:443'), answer)
        for variable in ('HTTPS_PROXY', 'HTTP_PROXY'):
            monkeypatch.setenv(variable, f'http://me:{SECRET}@{proxy.host}')
        address = Address(Reference('app'), 'registry.invalid', insecure=insecure)
        found = RegistryClient(address, Settings(retries=0, timeout=0.5))
        found.endpoint.base = parse_url(f'http{"" if insecure else "s"}://registry.invalid/')
        with pytest.raises(ServiceError, match='the proxy') as caught:
            raise found.failure(found.fetch('GET', '/x', 's'), 'x')
    assert f'the proxy {proxy.host} (HTTP' in str(caught.value) and SECRET not in str(caught.value)


def test_where_a_registry_redirects_to_is_named_when_it_is_down(server: Scripted, tmp_path: Path) -> None:
    with socket.create_server(('127.0.0.1', 0)) as free:
        down = f'127.0.0.1:{free.getsockname()[1]}'
    server.routes['GET /x'] = Answer(307, headers=[('Location', f'http://{down}/there')])
    both = rf'connection refused by {down}: .* \({server.host} redirects there\)'
    with pytest.raises(ServiceUnavailable, match=both):
        client(server.host).fetch('GET', '/x', 's')
