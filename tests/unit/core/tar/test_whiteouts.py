"""Names of whiteouts: what they delete, and which have no effect."""
import pytest

from occystrap_core.tar.whiteouts import Whiteout, is_whiteout, whiteout_of


@pytest.mark.parametrize(('path', 'target'), [
    (b'.wh.a', b'a'), (b'etc/.wh.passwd', b'etc/passwd'), (b'etc/.wh..hidden', b'etc/.hidden'),
    (b'a/.wh....', b'a/...')])
def test_a_whiteout_deletes_what_it_names(path: bytes, target: bytes) -> None:
    assert whiteout_of(path) == Whiteout(target, False) and is_whiteout(path)


@pytest.mark.parametrize(('path', 'directory'), [(b'.wh..wh..opq', b''), (b'a/b/.wh..wh..opq', b'a/b')])
def test_an_opaque_one_deletes_what_is_in_its_directory(path: bytes, directory: bytes) -> None:
    assert whiteout_of(path) == Whiteout(directory, True) and is_whiteout(path)


@pytest.mark.parametrize('path', [b'a/.wh.', b'a/.wh..', b'a/.wh...', b'a/.wh..wh.plnk', b'.wh..wh.aufs'])
def test_a_mark_without_an_effect_is_none(path: bytes) -> None:
    assert whiteout_of(path) is None and is_whiteout(path)


@pytest.mark.parametrize('path', [b'', b'a', b'a.wh.b', b'.wh.a/b', b'.wh', b'a/b.wh.'])
def test_other_names_are_no_whiteouts(path: bytes) -> None:
    assert whiteout_of(path) is None and not is_whiteout(path)
