"""Places of a run: one image for each, and none where another is read."""
import pytest

from occystrap_core import Location, UsageError
from occystrap_core.api.place import Place
from occystrap_core.destinations.claims import Claims

A, B = Place('/root', 'a'), Place('/root', 'b')
WHOLE = Place('/root')
OUT = Location('dir', '/out', {}, {})


@pytest.mark.parametrize(('first', 'second'), [(A, A), (WHOLE, A), (A, WHOLE), (WHOLE, WHOLE)])
def test_two_images_for_one_place_are_refused(first: Place, second: Place) -> None:
    claims = Claims()
    assert claims.claim(first, 'one', OUT)
    with pytest.raises(UsageError, match='one and two would both be written to'):
        claims.claim(second, 'two', OUT)


def test_one_image_is_copied_once_and_others_have_places_of_their_own() -> None:
    claims = Claims()
    assert [claims.claim(A, 'one', OUT), claims.claim(A, 'one', OUT), claims.claim(B, 'two', OUT)] == [
        True, False, True]
    assert claims.claim(Place('/other', 'a'), 'three', OUT)


def test_an_image_has_one_form_in_a_place_and_a_path_one_scheme() -> None:
    claims = Claims()
    assert claims.claim(A, 'one', OUT, 'tar') and not claims.claim(A, 'one', OUT, 'tar')
    with pytest.raises(UsageError, match='one can be there in one form only'):
        claims.claim(A, 'one', OUT, 'tree')
    with pytest.raises(UsageError, match='dir:///out and layout:///out are the same place, /root, which can have one'):
        claims.claim(B, 'two', OUT._replace(scheme='layout'), 'tar')


def test_nothing_goes_to_where_another_image_is_read() -> None:
    claims = Claims()
    claims.reads(Location('dir', '/in', {}, {}), A, 'one')
    assert claims.claim(B, 'two', OUT)
    with pytest.raises(UsageError, match='two would replace one, which is a source of the same run'):
        claims.claim(A, 'two', OUT)
