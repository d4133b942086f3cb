"""Globs over paths in layers: what they match, and what not."""
import pytest

from occystrap_core.errors import UsageError
from occystrap_core.tar.globs import Globs, plain_path


@pytest.mark.parametrize(('pattern', 'path'), [
    ('*.pyc', b'a.pyc'), ('*.pyc', b'usr/lib/a.pyc'), ('cache', b'var/cache/apt/x'), ('var/cache', b'var/cache'),
    ('/var/cache', b'var/cache/x'), ('var/*/apt', b'var/cache/apt'), ('**/apt', b'apt'), ('**/apt', b'var/cache/apt'),
    ('var/**/x', b'var/x'), ('var/**/x', b'var/a/b/x'), ('var/**', b'var/a/b'), ('a?c', 'aäc'.encode()),
    ('a?c', b'a\xffc'), ('[a-c]x', b'bx'), ('[!a-c]x', 'äx'.encode()), ('[ä]x', 'äx'.encode()), (r'\*', b'*'),
    ('naïve*', 'usr/naïve.txt'.encode()), ('a.c', b'a.c'), ('[]]x', b']x'), ('[]a]x', b'ax'), ('[!]a]x', b'bx'),
    ('x\\', b'x\\'), ('a**b', b'aXXb'),
    ('new\nline', b'new\nline'), ('*', b'\n'), ('a/[bc]x', b'a/bx'), ('a/?x', b'a/bx'), ('a/*x', b'a/bx'),
    ('a/bx', b'a/bx'),
    ('a/**/b', b'a/b'), ('a/**/**/b', b'a/b'), ('a/**/**/b', b'a/x/b'), ('a/**/b/**/c', b'a/b/c'),
    ('a/**/b/**/c', b'a/x/y/b/z/c'), ('a/**/b/**/c', b'a/b/x/b/c/c'), ('**/**/a', b'x/a'), ('**/a/b', b'x/a/b'),
    ('a***b', b'axb'),
    ('*a*b*', b'xaxbx'), ('[!/]x', b'ax'), ('[a-]x', b'-x'), ('[-a]x', b'-x'), ('[^a]x', b'bx'), ('[]-a]x', b'_x'),
    ('[!!]x', b'ax'),
    (r'[\]x', b'\\x'), ('[.]x', b'.x'), ('[a-a]x', b'ax'), (r'a\?c', b'a?c'), (r'\a', b'a'), (r'a\/b', b'a/b'),
    ('//a', b'a'),
])
def test_matches(pattern: str, path: bytes) -> None:
    assert Globs(['none', pattern]).match(path)


@pytest.mark.parametrize(('pattern', 'path'), [
    ('*.pyc', b'a.py'), ('*.pyc', b'a.pycx'), ('var/cache', b'usr/var/cache'), ('/cache', b'var/cache'),
    ('a?c', b'a/c'), ('*', b''), ('var/**', b'var'), ('var/*/x', b'var/a/b/x'), ('a.c', b'abc'), ('[!a-c]x', b'/x'),
    ('[!a-c]x', b'bx'), ('[]a]x', b'a]x'), ('[!]a]x', b']x'), ('a**b', b'aX/Xb'), ('cache', b'caches'), (r'\*', b'x'),
    ('a/[bc]x', b'b/ax'), ('a/?x', b'a/x'), ('a/*x', b'x'), ('a/**/b/**/c', b'a/x/c'), ('a/**/b/**/c', b'a/c/b'),
    ('a/**/b', b'x/a/b'),
    ('a/**/b', b'ab'), ('**/a/b', b'a/x/b'), ('*a*b*', b'xbxa'), ('[!!]x', b'!x'), ('[^a]x', b'ax'), (r'a\?c', b'abc'),
    ('a?', b'a'),
    ('?', b''), ('[a-c]', b'd'), ('[b-c]', b'a'), ('a/b', b'a'), ('a/b', b'a/bc'), ('a/b', b'ca/b'), ('*x', b'xy'),
])
def test_does_not_match(pattern: str, path: bytes) -> None:
    assert not Globs([pattern]).match(path)


def test_directories_alone() -> None:
    globs = Globs(['cache/'])
    assert globs.match(b'var/cache', is_directory=True) and globs.match(b'var/cache/x')
    assert not globs.match(b'var/cache')


@pytest.mark.parametrize('pattern', ['/etc/*', 'etc/*', 'etc/**', 'etc/*/', 'etc/?*', '/etc/**/x'])
def test_entries_of_a_directory_are_not_the_directory(pattern: str) -> None:
    assert not Globs([pattern]).match(b'etc', is_directory=True)
    assert not Globs([pattern], below=False).match(b'etc', is_directory=True)


def test_matches_without_entries_below() -> None:
    globs = Globs(['cache', 'doc/', '/var/lib/**'], below=False)
    assert globs.match(b'var/cache') and globs.match(b'cache', True) and globs.match(b'usr/doc', True)
    assert globs.match(b'var/lib/a/b') and not globs.match(b'cache/x') and not globs.match(b'doc')
    assert not globs.match(b'doc/x', True)


@pytest.mark.parametrize('pattern', ['', '/', '//', '[a', '[z-a]x', '[à-é]x', '[', '[]', '[!', '[!]', '[^]', '[a-é]x',
                                     'a/[', '[a-\x80]x'])
def test_malformed_globs_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        Globs([pattern])


@pytest.mark.parametrize(('name', 'plain'), [
    (b'./usr/bin/', b'usr/bin'), (b'/usr//bin', b'usr/bin'), (b'.', b''), (b'./', b''), (b'usr/bin', b'usr/bin'),
    (b'usr/bin/', b'usr/bin'), (b'a/./b', b'a/b'), (b'.hidden', b'.hidden'), (b'a/.', b'a'), (b'usr//bin', b'usr/bin'),
    (b'a//./b', b'a/b'), (b'', b''), (b'/', b''), (b'a/.b', b'a/.b'), (b'a./b', b'a./b'), (b'..', b'..'),
    (b'./.', b''), (b'a//', b'a'),
])
def test_plain_paths(name: bytes, plain: bytes) -> None:
    assert plain_path(name) == plain


def test_the_root_never_matches_and_directories_match_with_or_without_a_slash() -> None:
    assert not Globs(['*', '**', '.']).match(b'', is_directory=True)
    assert Globs(['a']).match(b'a', is_directory=True) is True and Globs(['a']).match(b'b', is_directory=True) is False


def test_one_of_several_suffices() -> None:
    globs = Globs(['a', 'b/', '/c/d'])
    assert [globs.match(path) for path in (b'a', b'x/a', b'b', b'b/x', b'c/d', b'x/c/d', b'c')] == [
        True, True, False, True, True, False, False]


@pytest.mark.parametrize(('pattern', 'path', 'is_directory', 'matches'), [
    ('a/', b'a', True, True), ('a/', b'a', False, False), ('a/', b'a/b', False, False), ('a', b'a', True, True),
    ('a', b'a/b', False, False),
    ('a/**', b'a/b/c', False, True), ('a/**', b'a', True, False), ('**/a/**/b', b'a/b/x', False, False),
    ('**/a/**/b', b'x/a/y/b', False, True),
    ('a/**/b', b'a/b/c/b', False, True), ('a/**/b', b'a/b/c', False, False)])
def test_without_what_is_below(pattern: str, path: bytes, is_directory: bool, matches: bool) -> None:
    assert Globs([pattern], below=False).match(path, is_directory) is matches
