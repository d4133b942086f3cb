"""Where an image is: names are told from prefixes, and two names never have one key."""
import pytest

from occystrap_core import UsageError
from occystrap_core.oci import Digest
from occystrap_s3.layout.keys import escaped, record_key
from occystrap_s3.layout.place import Place

DIGEST = Digest.of(b'')


@pytest.mark.parametrize(('path', 'place'), [
    ('bucket', Place('bucket', '')),
    ('bucket/', Place('bucket', '')),
    ('bucket/mirror/all', Place('bucket', 'mirror/all')),
    ('bucket/app:v1', Place('bucket', '', 'app:v1')),
    ('bucket/mirror/app:v1', Place('bucket', 'mirror', 'app:v1')),
    ('bucket/mirror//team/app:v1', Place('bucket', 'mirror', 'team/app:v1')),
    ('bucket//host:5000/team/app:v1', Place('bucket', '', 'host:5000/team/app:v1')),
    ('bucket/mirror//app', Place('bucket', 'mirror', 'app')),
    ('bucket/a:b/', Place('bucket', 'a:b')),
    (f'bucket/mirror@{DIGEST}', Place('bucket', 'mirror', '', DIGEST)),
    (f'bucket/mirror/app:v1@{DIGEST}', Place('bucket', 'mirror', 'app:v1', DIGEST)),
    (f'bucket//team/app:v1@{DIGEST}', Place('bucket', '', 'team/app:v1', DIGEST)),
])
def test_places(path: str, place: Place) -> None:
    assert Place.parse(path) == place
    assert Place.parse(place.path) == place._replace(name='', digest=None)


@pytest.mark.parametrize('path', ['', 'b', 'bucket:v1', 'me:secret@bucket/app:v1', 'bucket/app:', 'bucket/p//',
                                  'bucket/../other', 'bucket/./p', 'bucket/p///x', f'bucket@{DIGEST}',
                                  'bucket/app@sha256:0', 'bucket/\x07p'])
def test_invalid_places(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        Place.parse(path)
    assert 'secret' not in str(caught.value)


def test_two_names_never_have_one_key() -> None:
    names = ['a', 'a/b', 'a!2Fb', 'a_b', 'a:b', 'a!3Ab', 'a.json', 'a.json/b', 'A', 'host:5000/a', 'a/b/c', 'a//b', 'ä',
             f'sha256-{DIGEST.hex}', '..', '']
    keys = {record_key(name, DIGEST) for name in names}
    assert len(keys) == len(names)
    assert all(key.count('/') == 2 and set(key) <= set(
        '!-._/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ') for key in keys)


def test_a_name_can_be_read_in_its_key() -> None:
    assert escaped('registry.example:5000/team/app:v1.2') == 'registry.example!3A5000!2Fteam!2Fapp!3Av1.2'
