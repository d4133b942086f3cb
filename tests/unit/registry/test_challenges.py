"""WWW-Authenticate headers as registries write them."""
import pytest

from occystrap_registry.auth.challenges import parse_challenges

REALM = 'https://auth.example/token?a=b'


@pytest.mark.parametrize('headers', [
    [f'Bearer realm="{REALM}",service="s",scope="repository:a:pull,push"'],
    [f'bearer scope="repository:a:pull,push", service="s",  realm="{REALM}"'],
    [f'Bearer Realm = "{REALM}" , service=s, extra="x,y", scope="repository:a:pull,push", error="invalid_token"'],
    [f'Bearer realm={REALM},service="s",scope="repository:a:pull\\,push"'],
    [f'Basic realm="a, b", Bearer realm="{REALM}",service="s",scope="repository:a:pull,push"'],
    [f'Bearer realm="{REALM}",service="s",scope="repository:a:pull,push", Basic realm="x"'],
    ['Basic realm="x"', f'Bearer realm="{REALM}",service="s",scope="repository:a:pull,push"'],
    [f'Negotiate, , Bearer realm="{REALM}",service="s",scope="repository:a:pull,push"'],
    [f'Negotiate YII/abc+d==, Bearer realm="{REALM}",service="s",scope="repository:a:pull,push"'],
    [f'NTLM TlRM/A=, Bearer realm=\'{REALM}\'; service="s"; scope="repository:a:pull,push"'],
    ['Negotiate abc==', f'Bearer realm="{REALM}",service="s",scope="repository:a:pull,push"'],
])
def test_bearer_is_found(headers: list[str]) -> None:
    bearer = next(each for each in parse_challenges(headers) if each.scheme == 'bearer')
    found = [bearer.parameters[name] for name in ('realm', 'service', 'scope')]
    assert found == [REALM, 's', 'repository:a:pull,push']


@pytest.mark.parametrize('headers', [[], [''], ['"'], ['='], ['Bearer realm="unfinished'], ['Bearer ' + 'a' * 10_000]])
def test_garbage_offers_no_realm(headers: list[str]) -> None:
    assert not any(each.parameters.get('realm') for each in parse_challenges(headers))


def test_escapes_in_quotes() -> None:
    assert parse_challenges([r'Basic realm="a \"b\" \\ c"'])[0].parameters['realm'] == r'a "b" \ c'
