"""What a list of files says before its lines comes back as it was written; other versions are refused."""
import io

import pytest

from occystrap_core import InvalidImage
from occystrap_core.oci import Digest
from occystrap_dir.file_list.file_system import FileSystem
from occystrap_dir.file_list.head import Head, ListedLayer, OtherVersion, lines_of
from occystrap_dir.file_list.mtree import line

HEAD = Head([ListedLayer(Digest.of(b'one'), 10), ListedLayer(Digest.of(b'two'), 0)], Digest.of(b'config'),
            FileSystem(100, (0x10, 0), (b'security.selinux', b'user.a b')), [(b'opaque', b'a b/c')])


def written(head: Head, *lines: bytes) -> io.BytesIO:
    return io.BytesIO(b''.join([*head.to_lines(), *lines]))


def test_it_comes_back_and_the_lines_follow() -> None:
    file = written(HEAD, line(b'', b'type=dir'), line(b'a', b'type=file'))
    assert Head.read(file) == HEAD
    assert [each.path for each in lines_of(file)] == [b'', b'a']
    assert Head.read(written(Head([]))) == Head([], notes=[])
    assert HEAD.covers == [Digest.of(b'config'), Digest.of(b'one'), Digest.of(b'two')] and Head([]).covers == []


@pytest.mark.parametrize('first', [b'', b'#mtree v2.0\n', b'#mtree v2.0\n#occystrap 1\n', b'#mtree v3\n#occystrap 2\n'])
def test_another_version_is_refused(first: bytes) -> None:
    with pytest.raises(OtherVersion, match='of another version'):
        Head.read(io.BytesIO(first + b'. type=dir\n'))


@pytest.mark.parametrize('raw', [b'#layer sha256:0 x\n', b'#layer\n', b'#filesystem\n', b'#filesystem step=x\n',
                                 b'#filesystem step=1 flags=1\n', b'#image none\n'])
def test_a_malformed_line_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidImage):
        Head.read(io.BytesIO(b'#mtree v2.0\n#occystrap 2\n' + raw + b'. type=dir\n'))


@pytest.mark.parametrize('first', [b'', b'. type=dir\n', b'#opaque ./a\n'])
def test_a_line_without_an_end_is_refused_before_it_is_in_memory(first: bytes) -> None:
    file = written(Head([]), first, bytes(16 << 20))
    with pytest.raises(InvalidImage, match='a line of more than 5242880 bytes'):
        Head.read(file)
        list(lines_of(file))
    assert file.tell() < 6 << 20


def test_the_longest_line_is_read() -> None:
    longest = line(b'a' * 4096, b'type=file xattr.user.a=' + b'x' * (4 << 20))
    file = written(Head([]), longest)
    Head.read(file)
    assert [each.path for each in lines_of(file)] == [b'a' * 4096]
