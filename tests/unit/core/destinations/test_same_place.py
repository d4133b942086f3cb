"""Which images would replace each other, or the one they are copied from."""
import pytest

from occystrap_core import Location, UsageError
from occystrap_core.api.place import Place
from occystrap_core.destinations.claims import Claims, refuse_same_place


def at(path: str, scheme: str = 'dir', **options: str) -> Location:
    return Location(scheme, path, options, options)


def same(source: Location, destination: Location, lies: Place | None, goes: Place) -> bool:
    """Return whether a copy is refused."""
    try:
        refuse_same_place(source, destination, lies, goes)
    except UsageError as error:
        assert str(error) == f'source and destination are the same place: {destination}'
        return True
    return False


WHOLE, A, B, NAMELESS = Place('/p'), Place('/p', 'a'), Place('/p', 'b'), Place('/p', '')


@pytest.mark.parametrize(('lies', 'goes', 'is_same'), [
    (WHOLE, WHOLE, True), (WHOLE, A, True), (A, WHOLE, True), (A, A, True), (A, B, False), (NAMELESS, A, False),
    (NAMELESS, NAMELESS, False), (Place('/q'), WHOLE, False), (None, WHOLE, False)])
def test_images_at_one_path(lies: Place | None, goes: Place, is_same: bool) -> None:
    assert same(at('/x'), at('/y'), lies, goes) is is_same


@pytest.mark.parametrize(('lies', 'goes', 'is_same'), [
    (A, A, True), (WHOLE, WHOLE, False), (WHOLE, A, False), (A, WHOLE, False)])
def test_another_format_at_the_same_path_has_the_same_images_only_by_name(lies: Place, goes: Place,
                                                                          is_same: bool) -> None:
    assert same(at('/x'), at('/y', 'layout'), lies, goes) is is_same


@pytest.mark.parametrize(('source', 'destination', 'is_same'), [
    (at('/x'), at('/x'), True), (at('/x'), at('/x', 'tar'), False), (at('/x'), at('/x/y'), False),
    (at('/x', socket='1'), at('/x', socket='2'), False), (at('/x', socket='1'), at('/x', socket='1'), True),
    (at('/x', socket='1'), at('/x'), True), (at('/x', a='1', b='1'), at('/x', a='1', b='2'), False)])
def test_without_places_locations_are_compared(source: Location, destination: Location, is_same: bool) -> None:
    assert same(source, destination, None, Place('/elsewhere')) is is_same


def test_options_that_lead_elsewhere_count_only_where_there_is_no_better_place() -> None:
    by_location = Place('', 'dir:///x')
    assert not same(at('/x', socket='1'), at('/x', socket='2'), by_location, by_location)
    assert same(at('/x', socket='1'), at('/x', socket='2'), A, A)


@pytest.mark.parametrize(('first', 'second', 'clash'), [
    (A, B, False), (A, A, True), (WHOLE, B, True), (B, WHOLE, True), (NAMELESS, NAMELESS, False), (NAMELESS, A, False),
    (Place('/p', 'a', 'host1'), Place('/p', 'a', 'host2'), False), (Place('/p', 'a', 'host1'), Place('/p', 'a'), True),
    (Place('', 'a'), Place('', 'a'), True), (Place('', 'a'), Place('', 'b'), False), (Place('/q', 'a'), A, False)])
def test_two_images_of_a_run(first: Place, second: Place, clash: bool) -> None:
    claims = Claims()
    assert claims.claim(first, 'one', at('/out')) is True
    if clash:
        with pytest.raises(UsageError,
                           match=r'dir:///out: one and two would both be written to .*, one replacing the other'):
            claims.claim(second, 'two', at('/out'))
        assert claims.claim(second, 'one', at('/out')) is False
    else:
        assert claims.claim(second, 'two', at('/out')) is True


def test_nameless_images_are_each_their_own() -> None:
    claims = Claims()
    assert [claims.claim(NAMELESS, 'one', at('/out')) for _ in range(2)] == [True, True]


@pytest.mark.parametrize(('lies', 'goes', 'source', 'is_refused'), [
    (A, A, 'two', True), (A, A, 'one', False), (A, B, 'two', False), (WHOLE, A, 'two', True), (A, WHOLE, 'two', True),
    (None, A, 'two', False), (NAMELESS, A, 'two', False)])
def test_sources_of_the_run_are_not_replaced(lies: Place | None, goes: Place, source: str, is_refused: bool) -> None:
    claims = Claims()
    claims.reads(at('/in'), lies, 'one')
    if is_refused:
        with pytest.raises(UsageError,
                           match='dir:///out: two would replace one, which is a source of the same run: choose'):
            claims.claim(goes, source, at('/out'))
    else:
        assert claims.claim(goes, source, at('/out'))


def test_sources_without_places_are_known_by_their_locations() -> None:
    claims = Claims()
    claims.reads(at('/out'), None, 'one')
    claims.reads(at('/far', socket='1'), None, 'three')
    with pytest.raises(UsageError, match='two would replace one'):
        claims.claim(A, 'two', at('/out'))
    assert claims.claim(A, 'two', at('/far', socket='2'))


@pytest.mark.parametrize(('scheme', 'lies', 'goes', 'is_refused'), [
    ('layout', A, A, True), ('layout', WHOLE, A, False), ('layout', A, WHOLE, False), ('dir', WHOLE, A, True)])
def test_sources_of_another_format_are_replaced_only_by_name(scheme: str, lies: Place, goes: Place,
                                                             is_refused: bool) -> None:
    claims = Claims()
    claims.reads(at('/in', scheme), lies, 'one')
    if is_refused:
        with pytest.raises(UsageError, match='would replace'):
            claims.claim(goes, 'two', at('/out'))
    else:
        assert claims.claim(goes, 'two', at('/out'))
