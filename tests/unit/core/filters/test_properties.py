"""What holds for any tree of entries, in any form that tarfile writes."""
import tarfile

from hypothesis import given, settings, strategies as st

from tests.services.requirements import EVERYTHING
from tests.unit.core.filters.tars import Entry, contents, entry, listing, tar_of, through

NAMES = st.text('ab/.é\udc80', min_size=1, max_size=12).map(lambda text: text.strip('/') or 'x')
LONG = st.builds(lambda name, count: name + '/' + 'n' * count, NAMES, st.integers(80, 300))
TIMES = st.one_of(st.integers(0, 8 ** 11 - 1),
                  st.floats(0, 2 ** 33, allow_nan=False).map(lambda value: round(value, 3)))
NUMBERS = st.one_of(st.integers(0, 70_000), st.just(4_000_000_000))
ATTRIBUTES = st.dictionaries(st.sampled_from(['SCHILY.xattr.user.a', 'comment', 'LIBARCHIVE.creationtime', 'atime']),
                             st.integers(0, 10 ** 10).map(str))


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Return files, links of both kinds, directories and devices, with whatever they may have."""
    made = []
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.one_of(NAMES, LONG))
        kind = draw(st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE,
                                     tarfile.CHRTYPE, tarfile.FIFOTYPE]))
        info, content = entry(name, draw(st.binary(max_size=1500)) if kind == tarfile.REGTYPE else b'', kind)
        info.type, info.size = kind, len(content)
        info.linkname = draw(st.one_of(NAMES, LONG)) if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ''
        info.mtime, info.uid, info.gid = draw(TIMES), draw(NUMBERS), draw(NUMBERS)
        info.pax_headers = draw(ATTRIBUTES)
        made.append((info, content))
    return made


EXAMPLES = 150 if EVERYTHING else 40
FORMATS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
CHAIN = ['exclude:pattern=a*,*.b', 'owner:uid=5,gid=6', 'normalize-timestamps:ts=7']


@settings(max_examples=EXAMPLES, deadline=None)
@given(entries(), FORMATS)
def test_without_a_change_every_byte_stays(tree: list[Entry], kind: int) -> None:
    tar = tar_of(tree, kind)
    assert through(tar) == through(tar, 'exclude:pattern=nothing-has-this-name') == tar


@settings(max_examples=EXAMPLES, deadline=None)
@given(entries(), FORMATS)
def test_times_set_twice_are_times_set_once(tree: list[Entry], kind: int) -> None:
    tar = tar_of(tree, kind)
    once = through(tar, 'normalize-timestamps:ts=7')
    assert through(once, 'normalize-timestamps:ts=7') == once
    names, complaints = listing(once)
    assert len(names) == len(tree) and complaints <= listing(tar)[1], 'GNU tar found fault with what it took before'


@settings(max_examples=EXAMPLES, deadline=None)
@given(entries(), FORMATS)
def test_a_chain_is_the_same_in_one_pass_and_in_several_and_twice(tree: list[Entry], kind: int) -> None:
    tar = tar_of(tree, kind)
    together, one_by_one = through(tar, *CHAIN), tar
    for each in CHAIN:
        one_by_one = through(one_by_one, each)
    assert together == one_by_one == through(together, *CHAIN) == through(tar, *CHAIN)


@settings(max_examples=EXAMPLES, deadline=None)
@given(entries(), FORMATS)
def test_remaining_entries_are_unchanged(tree: list[Entry], kind: int) -> None:
    tar = tar_of(tree, kind)
    before, after = contents(tar), contents(through(tar, 'exclude:pattern=a*'))
    for name, content in after.items():
        was = before[name]
        assert content == was or str(was).startswith('='), 'only hard links may have changed'


def test_a_link_that_becomes_a_file_has_none_of_its_times() -> None:
    file, link = entry('a', b'', tarfile.REGTYPE)[0], entry('x', b'', tarfile.LNKTYPE)[0]
    file.pax_headers, link.linkname = {'LIBARCHIVE.creationtime': '0', 'atime': '0', 'comment': 'kept'}, 'a'
    tar = through(tar_of([(file, b''), (link, b'')], tarfile.PAX_FORMAT), *CHAIN)
    assert b'creationtime' not in tar and b'atime' not in tar and b'comment=kept' in tar
    assert through(tar, *CHAIN) == tar
