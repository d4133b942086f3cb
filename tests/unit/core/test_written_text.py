"""URIs, options and filters as users write them, and the words they get back."""
from typing import Any

import pytest

from occystrap_core.api.options import Option, OptionType, read_options
from occystrap_core.api.uri import Location, parse_filter, parse_uri, redact
from occystrap_core.errors import UnknownOption, UsageError

DECLARED = [Option('flag', OptionType.BOOLEAN, False), Option('count', OptionType.INTEGER, 3),
            Option('size', OptionType.SIZE), Option('wait', OptionType.SECONDS),
            Option('kind', OptionType.choice('a', 'b'), 'a'), Option('name', OptionType.STRING),
            Option('token', OptionType.STRING, secret=True)]


@pytest.mark.parametrize(('text', 'parts'), [
    ('tar://a.tar', ('tar', 'a.tar', {})),
    ('dir:///a/b%3Fc%25?x=1&y=', ('dir', '/a/b?c%', {'x': '1', 'y': ''})),
    ('dir://100%', ('dir', '100%', {})),
    ('registry://h:5000/r:t@sha256:00?insecure=true', ('registry', 'h:5000/r:t@sha256:00', {'insecure': 'true'})),
    ('docker://a?socket=unix:///x%20y', ('docker', 'a', {'socket': 'unix:///x y'})),
])
def test_uris(text: str, parts: tuple[str, str, dict[str, str]]) -> None:
    written = parse_uri(text)
    assert (written.scheme, written.path, written.options) == parts


@pytest.mark.parametrize('text', ['', 'a.tar', 'tar:', 'tar:/a', '://a', '1tar://a', 'tar://', 'tar://?a=b',
                                  'tar://a%00'])
def test_invalid_uris(text: str) -> None:
    with pytest.raises(UsageError):
        parse_uri(text)


def test_an_option_is_given_once_unless_it_is_a_list() -> None:
    options = [Option('x'), Option('skip', OptionType('patterns', lambda text: text.split(','), repeatable=True))]
    assert Location.parse('tar://a?skip=b&x=1&skip=c,d', options).options == {'x': '1', 'skip': ['b', 'c', 'd']}
    with pytest.raises(UsageError, match='gives the option .* twice'):
        Location.parse('tar://a?x=1&x=canary', options)


@pytest.mark.parametrize('text', ['registry://user:canary@host/r', 'registry://host/r?password=canary',
                                  'registry://user:can@ary@host/r:t', 'registry://u:canary@host/r:t?token=canary',
                                  'registry://u:canary?x@host/r', 'registry://u:canary#x/y@host', '//u:canary@host/r',
                                  'registry:u:canary@host/r', 'registry://canary@host.example/r',
                                  'registry://u:canary?a=canary@host/r?b=canary',
                                  'registry://host:5000?password=x@canary', 'registry://host/r?a=x&b=canary'])
def test_credentials_are_never_shown(text: str) -> None:
    assert 'canary' not in redact(text) and 'host' in redact(text)


def test_a_digest_is_no_password() -> None:
    text = f'registry://host:5000/r:t@sha256:{"0" * 64}'
    assert redact(text) == text


def test_locations_are_shown_as_they_are_written() -> None:
    location = Location('dir', '/a?b', {'x': 1}, {'x': 'y z'})
    assert str(location) == 'dir:///a%3Fb?x=y%20z' and parse_uri(str(location)).path == '/a?b'


@pytest.mark.parametrize(('given', 'name', 'value'), [
    ({'flag': 'TRUE'}, 'flag', True), ({'flag': 'off'}, 'flag', False), ({}, 'flag', False),
    ({'count': '-5'}, 'count', -5),
    ({'size': '2K'}, 'size', 2048), ({'size': '3 GiB'}, 'size', 3 << 30), ({'size': '7'}, 'size', 7),
    ({'wait': '0.5'}, 'wait', 0.5), ({'kind': 'b'}, 'kind', 'b'), ({'name': ''}, 'name', '')])
def test_option_values(given: dict[str, str], name: str, value: Any) -> None:
    values = read_options(DECLARED, given, 'x://')
    assert values[name] == value and set(values) == {option.name for option in DECLARED}


@pytest.mark.parametrize(('given', 'words'), [
    ({'flag': 'perhaps'}, 'flag=.perhaps.*true or false'), ({'count': '1.5'}, 'whole number'),
    ({'size': '2X'}, 'bytes'),
    ({'wait': '-1'}, 'seconds'), ({'wait': 'nan'}, 'seconds'), ({'kind': 'c'}, 'one of a, b')])
def test_errors_for_bad_values_name_the_expected_form(given: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_options(DECLARED, given, 'x://')


@pytest.mark.parametrize('rest', ['a?canary@host/app', 'a??canary@host', 'a?b&canary@host', 'a?canary=x@host',
                                  'host/app?password=a&canary', 'host/app?password=a&b&canary'])
def test_an_option_that_may_be_part_of_a_password_is_not_shown(rest: str) -> None:
    with pytest.raises(UnknownOption, match='write [?] as %3F') as caught:
        Location.parse(f'x://me:{rest}', [Option('password', secret=True)])
    assert 'canary' not in str(caught.value)


def test_a_login_with_a_line_break_is_not_shown() -> None:
    assert str(Location('x', 'me:a\ncanary@host/app', {}, {})) == 'x://…@host/app'


def test_unknown_options_name_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="x:// has no option 'cuont'; did you mean 'count'"):
        read_options(DECLARED, {'cuont': '1'}, 'x://')
    with pytest.raises(UnknownOption, match='available: count, flag'):
        read_options(DECLARED, {'zzzz': '1'}, 'x://')
    with pytest.raises(UnknownOption, match='none are available'):
        read_options([], {'zzzz': '1'}, 'x://')


def test_secrets_are_not_in_messages() -> None:
    with pytest.raises(UsageError) as caught:
        read_options([Option('token', OptionType.INTEGER, secret=True)], {'token': 'canary'}, 'x://')
    assert 'canary' not in str(caught.value)


@pytest.mark.parametrize(('text', 'parts'), [
    ('f', ('f', {})), ('f:', ('f', {})), ('f:a=1', ('f', {'a': '1'})), ('f:a=1,b=x=y', ('f', {'a': '1', 'b': 'x=y'})),
    (r'f:a=1\,2,b=3', ('f', {'a': '1,2', 'b': '3'})), ('f:a=', ('f', {'a': ''}))])
def test_filters(text: str, parts: tuple[str, dict[str, str]]) -> None:
    assert parse_filter(text) == parts


@pytest.mark.parametrize('text', ['', ':a=1', 'f:a', 'f:a=1,', 'f:a=1,a=2', 'f:=1,b'])
def test_invalid_filters(text: str) -> None:
    with pytest.raises(UsageError):
        parse_filter(text)
