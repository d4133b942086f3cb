"""Places of very many images are kept as numbers: they clash as they do when all is known of them."""
from collections.abc import Sequence
from pathlib import Path

import pytest

from occystrap_core import Location, Place, UsageError
from occystrap_core.destinations.claims import Claims

A, B = Place('', 'registry://h/a:1'), Place('', 'registry://h/b:1')
FILE, IN_FILE, OTHER = Place('/x/f', None), Place('/x/f', 'app:1'), Place('/x/f', 'app:2')
HERE, THERE, ANYWHERE = (Place('/x/d', 'app:1', host) for host in ('one', 'two', ''))
UNNAMED = Place('/x/d', '')


def goes(place: Place, scheme: str = 'memory') -> Location:
    return Location(scheme, place.path or str(place.name), {}, {})


@pytest.mark.parametrize('places', [
    (A, B), (A, A), (FILE, IN_FILE), (IN_FILE, FILE), (IN_FILE, OTHER), (FILE, FILE), (HERE, THERE), (HERE, ANYWHERE),
    (ANYWHERE, HERE), (HERE, HERE), (UNNAMED, UNNAMED), (UNNAMED, HERE), (HERE, THERE, ANYWHERE)])
@pytest.mark.parametrize('kept', [0, 1])
def test_places_clash_whether_they_are_numbers_or_not(places: Sequence[Place], kept: int) -> None:
    def results(many: bool) -> list[object]:
        claims, found = Claims(), list[object]()
        for number, place in enumerate(places):
            if many and number == kept:
                claims.become_many()
            try:
                found.append(claims.claim(place, f'image {number}', goes(place)))
            except UsageError:
                found.append('refused')
        return found
    assert results(many=True) == results(many=False)


def test_the_same_image_is_there_once_and_in_one_form() -> None:
    claims = Claims()
    claims.claim(A, 'image', goes(A), 'plain')
    claims.become_many()
    assert not claims.claim(A, 'image', goes(A), 'plain')
    with pytest.raises(UsageError, match='would replace another image'):
        claims.claim(A, 'image', goes(A), 'compressed')


def test_no_image_replaces_a_source_of_the_run_whichever_is_known_first() -> None:
    claims = Claims()
    claims.reads(goes(A), A, 'first')
    claims.become_many()
    with pytest.raises(UsageError, match='would replace an image that is a source'):
        claims.claim(A, 'second', goes(A))
    assert claims.claim(B, 'second', goes(B))
    with pytest.raises(UsageError, match='is read where another image of this run is written'):
        claims.reads(goes(B), B, 'third')


def test_one_path_has_one_format() -> None:
    claims = Claims()
    claims.claim(IN_FILE, 'one', goes(IN_FILE, 'layout'))
    claims.become_many()
    with pytest.raises(UsageError, match='another format'):
        claims.claim(OTHER, 'two', goes(OTHER, 'dir'))


def test_a_directory_that_an_image_has_made_meanwhile_is_still_the_same_place(tmp_path: Path) -> None:
    claims, place = Claims(), Place(str(tmp_path / 'mirror'), 'app:1')
    claims.claim(place, 'one', goes(place))
    claims.become_many()
    (tmp_path / 'mirror').mkdir()
    with pytest.raises(UsageError, match='would replace another image'):
        claims.claim(place, 'two', goes(place))
    (tmp_path / 'link').symlink_to('mirror')
    other = Place(str(tmp_path / 'mirror'), 'app:2')
    assert claims.claim(other, 'two', goes(other))
    with pytest.raises(UsageError, match='would replace another image'):
        claims.claim(Place(str(tmp_path / 'link'), 'app:2'), 'three', goes(other))
