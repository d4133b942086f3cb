"""Lines of a list, access lists and budgets: values at their boundaries."""
import struct

import pytest

from occystrap_core import InvalidImage
from occystrap_dir.extraction.limits import Budget
from occystrap_dir.file_list.acl import ACCESS, DEFAULT, Acl, stored_value
from occystrap_dir.file_list.mtree import Line, escaped, line, unescaped

NOBODY = 0xffffffff
OWNER, USER, GROUP_OWNER, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return the value of an attribute, as <linux/posix_acl_xattr.h> has it."""
    return b'\2\0\0\0' + b''.join(struct.pack('<HHI', *entry) for entry in entries)


@pytest.mark.parametrize('value', [b'', b'\2\0\0', b'\1\0\0\0', b'\3\0\0\0', b'\0\0\0\2', acl((1, 7, 0))[:-1],
                                   acl() + b'\0'])
def test_other_values_are_no_access_lists(value: bytes) -> None:
    assert Acl.parse(value) is None and stored_value(DEFAULT, value, 0o644) == value


def test_an_empty_list_is_one() -> None:
    assert Acl.parse(acl()) == Acl(()) and Acl(()).value == acl()


@pytest.mark.parametrize(('tag', 'keeps'), [(USER, True), (GROUP, True), (OWNER, False), (GROUP_OWNER, False),
                                            (MASK, False),
                                            (OTHER, False)])
def test_only_named_entries_have_owners(tag: int, keeps: bool) -> None:
    assert Acl.parse(acl((tag, 5, 7))) == Acl(((tag, 5, 7 if keeps else NOBODY),))


@pytest.mark.parametrize(('tag', 'is_stored'), [(OWNER, False), (GROUP_OWNER, False), (OTHER, False), (USER, True),
                                                (GROUP, True),
                                                (MASK, True)])
def test_a_list_of_what_a_mode_says_is_not_stored(tag: int, is_stored: bool) -> None:
    assert (stored_value(ACCESS, acl((tag, 4, NOBODY)), 0o444) is not None) is is_stored
    assert stored_value(DEFAULT, acl((tag, 4, NOBODY)), 0o444) is not None


@pytest.mark.parametrize(('mode', 'bits'), [(0o000, (0, 0, 0)), (0o124, (1, 2, 4)), (0o4421, (4, 2, 1)),
                                            (0o777, (7, 7, 7))])
@pytest.mark.parametrize('masked', [False, True])
def test_a_mode_sets_the_bits_of_owner_mask_or_group_and_others(mode: int, bits: tuple[int, int, int],
                                                                masked: bool) -> None:
    mask = ((MASK, 3, NOBODY),) if masked else ()
    found = Acl(((OWNER, 3, NOBODY), (USER, 3, 1), (GROUP_OWNER, 3, NOBODY), *mask, (OTHER, 3, NOBODY))).with_mode(mode)
    expected = {OWNER: bits[0], OTHER: bits[2], MASK if masked else GROUP_OWNER: bits[1]}
    assert {tag: permissions for tag, permissions, _ in found.entries} == {
        tag: expected.get(tag, 3) for tag, _, _ in found.entries}


def test_each_budget_is_counted_by_itself_and_full_at_its_limit() -> None:
    budget = Budget(10, 2, 5)
    for count in (4, 6):
        budget.passed(count)
    for _ in range(2):
        budget.entry()
    for length in (2, 3, 0):
        budget.named(length)
    for call, words in ((lambda: budget.passed(1), 'unpacks to more than 10 bytes'),
                        (budget.entry, 'more than 2 entries'),
                        (lambda: budget.named(1), 'take more than 5 bytes of memory')):
        with pytest.raises(InvalidImage, match=words):
            call()


@pytest.mark.parametrize('name', [bytes([byte]) for byte in range(1, 256)])
def test_any_byte_comes_back(name: bytes) -> None:
    shown = escaped(b'a' + name + b'b')
    assert unescaped(shown) == b'a' + name + b'b' and not set(shown) & set(b' \n\t#*?[')
    plain = name.isalnum() and name.isascii() or name in b'/._+,:@%~^-'
    assert (len(shown) == 3) == plain and (plain or len(shown) == 6)


@pytest.mark.parametrize(('shown', 'name'), [(b'\\101', b'A'), (b'\\377', b'\xff'), (b'\\477', b'\\477'),
                                             (b'\\19', b'\\19'),
                                             (b'a\\040\\0401', b'a  1')])
def test_escapes_have_three_digits(shown: bytes, name: bytes) -> None:
    assert unescaped(shown) == name


@pytest.mark.parametrize(('keywords', 'fields'), [
    (b'type=file', {'kind': 'file'}), (b'type=file mode=1755', {'mode': 0o1755}), (b'type=file uid=7 gid=8',
                                                                                   {'uid': 7, 'gid': 8}),
    (b'type=file size=09', {'size': 9}), (b'type=file time=12.000000034', {'time': 12_000_000_034}),
    (b'type=file time=-1.000000001', {'time': -999_999_999}), (b'type=block device=native,8,1',
                                                               {'kind': 'block', 'device': (8, 1)}),
    (b'type=char mode=0000 device=native,0,0', {'kind': 'char', 'mode': 0, 'device': (0, 0)}),
    (b'type=file nlink=3 inode=99', {'names': 3, 'inode': '99'}), (b'type=file sha256digest=ab', {'digest': 'ab'}),
    (b'type=link link=a\\040b', {'kind': 'link', 'target': b'a b'}),
    (b'type=file xattr.user.a\\040b=eA==', {'xattrs': {b'user.a b': b'x'}})])
def test_keywords(keywords: bytes, fields: dict[str, object]) -> None:
    assert Line.parse(line(b'a/b', keywords)) == Line(b'a/b', 'file')._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(('raw', 'path'), [(b'. type=dir\n', b''), (b'./.a type=dir\n', b'.a'),
                                           (b'./a\\040b type=dir\n', b'a b')])
def test_paths_of_lines(raw: bytes, path: bytes) -> None:
    assert Line.parse(raw).path == path and line(path, b'type=dir') == raw


@pytest.mark.parametrize('raw', [b'./a type=block device=native,1\n', b'./a type=block device=native,1,2,3\n',
                                 b'./a type=block device=native,1,2 mode=0600 device=native,1,2\n',
                                 b'./a type=file nlink=x\n', b'./a type=file size=0x1\n', b'./a type=file time=1.x\n'])
def test_malformed_keywords_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidImage, match='the list of files has a malformed line'):
        Line.parse(raw)
