"""Denials: whether they are put down to a worker without a login, or to the image."""
from occystrap_core.bulk.denials import LIMIT, Denials
from occystrap_core.errors import AccessDenied, OutputError

DENIED = AccessDenied('requires credentials')


def denials() -> tuple[Denials[str], dict[str, str]]:
    """Return denials, and the workers that they leave out."""
    out = dict[str, str]()
    return Denials(out.__setitem__), out


def test_a_worker_without_access_is_left_out_once_others_have_it_and_these_do_its_images() -> None:
    found, out = denials()
    names = [f'image-{number}' for number in range(LIMIT)]
    assert [found.answered('bare', each, DENIED) for each in names] == [([], [])] * LIMIT and found.held == LIMIT
    assert found.answered('good', 'other', None) == (['other'], names)
    assert list(out) == ['bare'] and f'denied for all {LIMIT} images' in out['bare'] and str(DENIED) in out['bare']
    assert found.answered('bare', 'late', DENIED) == ([], ['late']) and found.held == 0


def test_an_image_that_is_denied_to_a_worker_with_access_fails() -> None:
    found, out = denials()
    assert found.answered('good', 'first', None) == (['first'], [])
    assert found.answered('good', 'secret', DENIED) == (['secret'], [])
    assert found.answered('other', 'secret', DENIED) == ([], [])
    assert found.answered('other', 'second', None) == (['secret', 'second'], []) and not out


def test_when_nobody_has_access_all_fail_and_nobody_is_left_out() -> None:
    found, out = denials()
    for number in range(2 * LIMIT):
        assert found.answered(f'worker-{number % 2}', f'image-{number}', DENIED) == ([], [])
    assert sorted(found.rest()[0]) == [f'image-{number}' for number in range(2 * LIMIT)]
    assert found.rest() == ([], []) and not out


def test_denials_held_back_at_the_end_are_tried_again_if_others_have_access() -> None:
    found, out = denials()
    found.answered('bare', 'image', DENIED)
    found.answered('good', 'other', None)
    assert found.rest() == ([], ['image']) and not out


def test_other_failures_stand_and_so_do_all_of_an_executor_that_cannot_leave_out_workers() -> None:
    assert denials()[0].answered('any', 'image', OutputError('full')) == (['image'], [])
    assert Denials[str](None).answered('any', 'image', DENIED) == (['image'], [])
