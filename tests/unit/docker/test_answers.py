"""What daemons say in JSON amid their streams."""
import pytest

from occystrap_core import OutputError, ServiceUnavailable
from occystrap_core.oci import Digest
from occystrap_docker.connection.answers import appended_error, loaded_image

ID = Digest.of(b'config')


@pytest.mark.parametrize('line', [f'Loaded image ID: {ID}\\n', f'Loaded image: {ID}'], ids=['docker', 'podman'])
def test_the_image_made(line: str) -> None:
    lines = [b'{"status":"Loading layer","progressDetail":{"current":1}}', b'', f'{{"stream":"{line}"}}'.encode()]
    assert loaded_image(200, lines, 'unix:///d') == ID


@pytest.mark.parametrize(('status', 'line'), [
    (200, b'{"errorDetail":{"message":"no space left"},"error":"no space left"}'),
    (500, b'{"message":"no space left"}'),
    (500, b'no space left'),
])
def test_the_daemon_s_own_words_reach_the_user(status: int, line: bytes) -> None:
    with pytest.raises(OutputError, match='unix:///d refused the image: no space left'):
        loaded_image(status, [line], 'unix:///d')


@pytest.mark.parametrize(('said', 'hint'), [
    ('empty export - not implemented', 'use dockerpush:// as the source'),
    ('max depth exceeded', 'at most 125 layers'),
    ('write /layer.tar: no space left on device', 'disk is full: `docker system df`')])
def test_what_a_daemon_does_not_explain_is_explained(said: str, hint: str) -> None:
    with pytest.raises(OutputError, match=f'{said}; .*{hint}'):
        loaded_image(500, [f'{{"message":"{said}"}}'.encode()], 'unix:///d')


def test_of_podman_s_formats_that_of_the_archive_is_shown() -> None:
    words = (f'failed to load image: payload does not match any of the supported image formats:\\n * oci: {"x" * 600}'
             '\\n * docker-archive: creating a layer: disk quota exceeded\\n * dir: open manifest.json: no directory')
    with pytest.raises(OutputError, match='refused the image: creating a layer: disk quota exceeded$'):
        loaded_image(500, [f'{{"cause":"{words}","message":"{words}"}}'.encode()], 'unix:///d')
    with pytest.raises(OutputError, match='payload does not match any$'):
        loaded_image(500, [b'{"message":"payload does not match any"}'], 'unix:///d')


def test_silence_is_no_success() -> None:
    with pytest.raises(ServiceUnavailable, match='did not report that it loaded'):
        loaded_image(200, [], 'unix:///d')
    with pytest.raises(OutputError, match='status 502'):
        loaded_image(502, [], 'unix:///d')


def test_errors_behind_an_export() -> None:
    assert appended_error(b'content{"errorDetail":{"message":"gone"},"error":"gone"}\r\n') == 'gone'
    assert appended_error(bytes(1024)) == appended_error(b'{"errorDetail": no JSON') == ''
