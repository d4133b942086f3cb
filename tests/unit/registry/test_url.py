"""URLs: what is taken as one, and how it is sent."""
import pytest

from occystrap_registry.transport.url import MalformedURL, parse_url

BASE = parse_url('https://registry.example:5000/v2/app/blobs/uploads/1?state=a')


@pytest.mark.parametrize(('text', 'netloc', 'target'), [
    ('https://A.Example/', 'a.example', '/'), ('https://a.example', 'a.example', '/'),
    ('https://a.example:443/x', 'a.example', '/x'), ('http://a.example:443/x', 'a.example:443', '/x'),
    ('http://[::1]:5000/x?y=z#part', '[::1]:5000', '/x?y=z'), ('http://u:secret@a.example/x', 'a.example', '/x'),
    ('https://a.example/v2/x%2Fy?a=b%20c&d=e+f', 'a.example', '/v2/x%2Fy?a=b%20c&d=e+f'),
    ('https://a.example/a b?c d"', 'a.example', '/a%20b?c%20d%22'), ('https://a.example/ü', 'a.example', '/%C3%BC'),
    ('https://bücher.example/', 'xn--bcher-kva.example', '/'), ('https://a.example//x', 'a.example', '//x')])
def test_a_url_is_sent(text: str, netloc: str, target: str) -> None:
    url = parse_url(text)
    assert (url.netloc, url.target) == (netloc, target)
    assert parse_url(str(url)) == url


@pytest.mark.parametrize('text', [
    'https://a.example:port/', 'https://a.example:99999/', 'https://[::g]/', 'https://[::1/', 'https://a b/',
    'https://a.example/\r\nHost: b', 'https://a.example/\x00', 'https://xn--a/', 'https://a.example/' + 'x' * 70_000,
    'https://a\\b/',
    'https://999.1.1.1/', 'https://127.0.0.01/', 'https://a.example/\ud800',
    'https://a"b/', 'https://a<b>/', 'https://ü..example/'])
def test_these_are_none(text: str) -> None:
    with pytest.raises(MalformedURL):
        parse_url(text)
    with pytest.raises(MalformedURL):
        BASE.join(text)


@pytest.mark.parametrize(('location', 'joined'), [
    ('/v2/x', 'https://registry.example:5000/v2/x'), ('/v2/x?y#z', 'https://registry.example:5000/v2/x?y'),
    ('2', 'https://registry.example:5000/v2/app/blobs/uploads/2'), ('?b', f'{str(BASE).partition("?")[0]}?b'),
    ('//other.example/x', 'https://other.example/x'), ('http://other.example:80/x', 'http://other.example/x'),
    ('/v2/../x', 'https://registry.example:5000/x'), ('/v2/./x', 'https://registry.example:5000/v2/x'),
    ('../../x', 'https://registry.example:5000/v2/app/x'), ('', str(BASE)),
    ('/a b?c d', 'https://registry.example:5000/a%20b?c%20d')])
def test_a_location_is_relative_to_what_was_requested(location: str, joined: str) -> None:
    assert str(BASE.join(location)) == joined
