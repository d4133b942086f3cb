"""Where registry:// URIs lead, and that secrets in them stay out of everything that is shown."""
import pytest

from occystrap_core import Settings, UsageError
from occystrap_core.api.uri import Location, parse_uri, redact
from occystrap_registry.transport.address import parse_address
from occystrap_registry.transport.hosts import host_bytes, is_loopback, is_metadata
from tests.unit.registry.scripted import location

DIGEST = f'sha256:{"a" * 64}'
CANARY = 'can:ar@y/s%e?t'


@pytest.mark.parametrize(('path', 'shown', 'host'), [
    ('quay.io/org/app', 'quay.io/org/app:latest', 'quay.io'),
    ('127.0.0.1:5000/app:v1', '127.0.0.1:5000/app:v1', '127.0.0.1:5000'),
    ('[::1]:5000/app:v1', '[::1]:5000/app:v1', '[::1]:5000'),
    (f'quay.io/app@{DIGEST}', f'quay.io/app@{DIGEST}', 'quay.io'),
    (f'quay.io:443/app:v1@{DIGEST}', f'quay.io:443/app:v1@{DIGEST}', 'quay.io:443'),
    ('docker.io/debian', 'docker.io/library/debian:latest', 'registry-1.docker.io'),
    ('docker.io/org/app:v1', 'docker.io/org/app:v1', 'registry-1.docker.io'),
    ('Registry.Example/app:V1', 'Registry.Example/app:V1', 'registry.example'),
])
def test_where_a_path_leads(path: str, shown: str, host: str) -> None:
    address = parse_address(location(path), Settings())
    assert (str(address.reference), address.host, address.credentials) == (shown, host, None)


@pytest.mark.parametrize('path', ['app', 'host/', 'host/App', 'host/app:', 'host/a/../b', 'host/app@sha256:',
                                  f'host/app@{DIGEST.upper()}', 'host/app@sha256:../../x', '/app', 'ho st/app'])
def test_malformed_paths_are_refused(path: str) -> None:
    with pytest.raises(UsageError):
        parse_address(location(path), Settings())


@pytest.mark.parametrize('rest', ['quay.io/app', f'quay.io/app:v1@{DIGEST}'])
@pytest.mark.parametrize('password', ['simple', CANARY])
def test_credentials_in_the_uri(password: str, rest: str) -> None:
    settings = Settings()
    address = parse_address(location(f'user:{password}@{rest}'), settings)
    assert settings.credentials == {'quay.io': ('user', password)}
    assert address.credentials == ('user', password)
    assert address.reference.host == 'quay.io' and password not in repr(address) + repr(settings)


def test_options_win_over_the_uri_and_the_environment_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    given = location('user:one@quay.io/app', username='other', password='two')
    assert parse_address(given, Settings()).credentials == ('other', 'two')
    with pytest.raises(UsageError, match='OCCYSTRAP_PASSWORD'):
        parse_address(location('quay.io/app', username='user'), Settings())
    monkeypatch.setenv('OCCYSTRAP_PASSWORD', 'three')
    assert parse_address(location('quay.io/app', username='user'), Settings()).credentials == ('user', 'three')


@pytest.mark.parametrize('uri', [
    'registry://user:canary@quay.io/app', 'registry://user:can%40ary%2Fcanary@quay.io/app:v1',
    'registry://user:p@canary@quay.io/app', 'registry://user:p/canary@quay.io/app', 'registry://user:canary@host',
    'registry://user:canary@host/App', 'registry://us:canary@host/app@sha256:xyz', 'registry://user:p/canary@host:50',
])
def test_secrets_of_a_uri_are_never_shown(uri: str) -> None:
    path = parse_uri(uri).path
    assert 'canary' not in redact(uri) and 'canary' not in str(Location('registry', path, {}, {}))
    try:
        parse_address(location(path), Settings())
    except UsageError as error:
        assert 'canary' not in str(error)


@pytest.mark.parametrize('host', ['localhost', 'localhost:5000', '127.0.0.1', '127.8.9.1:80', '[::1]', '[::1]:5000',
                                  'a.localhost', '0x7f.1', '[::ffff:127.0.0.1]:80'])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize('host', ['quay.io', '10.0.0.1:5000', 'localhost.evil', '127.0.0.1.evil', '[2001:db8::1]:1'])
def test_other_machines(host: str) -> None:
    assert not is_loopback(host) and not is_metadata(host)


@pytest.mark.parametrize('host', ['169.254.169.254', '169.254.169.254:80', '2852039166', '0xa9.0xfe.0xa9.0xfe',
                                  '[fe80::1]:80', '[::ffff:169.254.169.254]', 'metadata.google.internal',
                                  'Metadata.Google.Internal.', 'user@169.254.169.254', '[fd00:ec2::254]'])
def test_hosts_that_are_never_followed(host: str) -> None:
    assert is_metadata(host)


@pytest.mark.parametrize('host', [
    '127.0.0.1:99999', '127.0.0.1:65536', 'localhost:0', '[::1]:99999', 'xn--a:5000', '[:::]:5000', '[::g]:5000',
    f'{"a" * 64}.example', f'{"a" * 300}.example', 'a..example', '[]:1'])
def test_impossible_hosts(host: str) -> None:
    with pytest.raises(UsageError):
        parse_address(location(f'{host}/app:v1'), Settings())


@pytest.mark.parametrize('host', [
    '127.0.0.1:65535', '[::1]:1', '[fe80::1]', 'xn--bcher-kva.example', f'{"a" * 63}.example', 'A.Example:5000',
    'localhost'])
def test_hosts_that_can_be(host: str) -> None:
    assert parse_address(location(f'{host}/app:v1'), Settings()).host == host.lower()


@pytest.mark.parametrize('host', ['a.example', 'a.example.', 'A-b_c.example', '127.0.0.1', 'fe80::1%eth0', '',
                                  'x' * 63 + '.y', 'bücher.example'])
def test_a_host_is_sent_as_python_would_encode_it(host: str) -> None:
    assert host_bytes(host) == host.encode('idna')


@pytest.mark.parametrize('host', ['a..example', '.example', 'x' * 64 + '.example', 'a.' + 'x' * 64])
def test_an_impossible_host_is_refused(host: str) -> None:
    with pytest.raises(UnicodeError):
        host_bytes(host)
