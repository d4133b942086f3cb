"""What the options of selection take of the names that any source lists."""
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing

import pytest

from occystrap_core import Image, ImageInput, ImageNotFound, Location, Option, Settings, UsageError
from occystrap_core.api.selection_options import SELECTION, without_selection
from occystrap_core.oci import Reference
from occystrap_core.sources.selection import select, stream_selected

TAGS = ['1.2', '1.3', '1.9.1', '1.10.0', '2.0-rc1', '2.0', 'latest', 'nightly']
SIGNATURE = f'sha256-{"a" * 64}.sig'


class Named(ImageInput):
    """A source of many names; `made` has the time of each tag."""

    names: Sequence[str] = TAGS
    made: Mapping[str, float] = {}

    def references(self) -> Iterable[Reference]:
        return [Reference.parse(name) if ':' in name else Reference('team/app', name) for name in self.names]

    def stream(self) -> Iterator[Sequence[Reference]]:
        found = list(self.references())
        yield from ([each] for each in found[:3])
        yield found[3:]

    def open(self, reference: Reference) -> Image:
        raise AssertionError('no image is opened for its name')

    def created(self, reference: Reference) -> float | None:
        return self.made.get(reference.tag)


def taken(query: str, names: Sequence[str] = TAGS, path: str = 'host/team/app:*', **made: float) -> list[str]:
    """The tags that are selected, in order, with the notes behind them."""
    location = Location.parse(f'sample://{path}?{query}', [*SELECTION, Option('referrers')])
    settings = Settings()
    images = Named(location, settings)
    images.names, images.made = names, made
    notes = list[str]()
    with closing(settings.shared):
        found = select(images, location)
        streamed = [each for part in stream_selected(images, location, notes.append) for each in part]
    assert (streamed, notes) == (found.references, found.notes), 'what is given in parts is the same'
    return [*(each.tag for each in found.references), *found.notes]


@pytest.mark.parametrize(('query', 'tags'), [
    ('', TAGS), ('semver=>=1.2 <2', ['1.2', '1.3', '1.9.1', '1.10.0']),
    ('semver=%3E%3D1.3%20%3C2', ['1.3', '1.9.1', '1.10.0']), ('semver=^1.9||^2&newest=2', ['1.10.0', '2.0']),
    ('newest=3', ['1.10.0', '2.0-rc1', '2.0']), ('regex=1\\.[23]', ['1.2', '1.3']), ('regex=(?i)LATEST', ['latest']),
    ('regex=1|nightly', ['nightly']), ('exclude=:1.*&exclude=:2*,:n*', ['latest']),
    ('exclude=:*-rc*&newest=1', ['2.0']), ('semver=1.x&exclude=:1.10*&newest=1', ['1.9.1'])])
def test_selected_images(query: str, tags: list[str]) -> None:
    assert taken(query) == tags


def test_versions_are_what_stands_for_the_wildcard() -> None:
    names = ['1.2-alpine', '1.10-alpine', '1.9-alpine']
    assert taken('semver=>=1.9&newest=1', names, 'host/team/app:*-alpine') == ['1.10-alpine']
    assert taken('semver=^1.9', ['v1.2', 'v1.9'], 'host/team/app:v1.*') == ['v1.9']
    assert taken('newest=1', ['release-1.9', 'release-1.10'], 'host/team/app:release-*') == ['release-1.10']


def test_the_newest_are_counted_in_each_repository() -> None:
    assert taken('newest=1', ['a/x:1', 'a/y:3', 'a/x:2', 'a/y:1']) == ['3', '2']


def test_by_the_time_of_creation() -> None:
    made = {'b': 3.0, 'a': 2.0, 'c': 1.0}
    assert taken('newest=2&order=created', ['a', 'b', 'c'], **made) == ['a', 'b']
    with pytest.raises(ImageNotFound, match='team/app:d has no creation time: exclude it'):
        taken('newest=2&order=created', ['a', 'd'], **made)


@pytest.mark.parametrize(('query', 'words'), [
    ('semver=>=3', "none of 8 images is selected by semver='>=3'; the newest are: 2.0, 2.0-rc1, 1.10.0, 1.9.1, 1.3 "
                   'and 3 more'),
    ('regex=x.*', "none of 8 images is selected by regex='x.[*]', which must match the whole tag; available: "
                  '1.2, 1.3, 1.9.1, 1.10.0, 2.0 and 3 more'),
    ('exclude=**', "none of 8 images is selected by exclude='..'")])
def test_nothing_is_selected(query: str, words: str) -> None:
    with pytest.raises(ImageNotFound, match=f'^sample://host/team/app:[*]: {words}') as caught:
        taken(query)
    assert caught.value.nothing_matches


def test_tags_that_are_no_versions_are_not_the_newest() -> None:
    with pytest.raises(ImageNotFound, match="selected by newest='5', and none is a version; available: latest, "
                                            "nightly"):
        taken('newest=5', ['latest', 'nightly'])


def test_signatures_are_left_out_with_one_line_or_go_with_their_images() -> None:
    assert taken('', ['v1', SIGNATURE, f'sha256-{"b" * 64}']) == [
        'v1', 'sample://host/team/app:*: left out 2 signature and referrers tags; add referrers=true to copy them with '
              'their images']
    assert taken('referrers=true', ['v1', SIGNATURE]) == [
        'v1', 'sample://host/team/app:*: 1 signature and referrers tag not copied as images of their own, but with the '
              'images that they belong to']
    assert taken('', [SIGNATURE], f'host/team/app:{SIGNATURE}') == [SIGNATURE]
    assert taken('', ['v1', SIGNATURE], 'host/team/app:sha256-*') == ['v1', SIGNATURE]
    with pytest.raises(ImageNotFound, match='all 1 tags are signatures or lists of referrers'):
        taken('', [SIGNATURE])


@pytest.mark.parametrize(('query', 'words'), [
    ('semver=new', "semver='new' is invalid: expected a range of versions"), ('newest=0', 'at least 1'),
    ('order=size', 'one of version, created'), ('regex=(', 'is not a regular expression'),
    ('exclude=A b', 'can match no')])
def test_unreadable_selections(query: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        taken(query)


def test_an_image_is_the_same_whatever_selected_it() -> None:
    location = Location.parse('sample://a?newest=5&exclude=:x&insecure=true', [*SELECTION, Option('insecure')])
    assert str(without_selection(location)) == 'sample://a?insecure=true'
