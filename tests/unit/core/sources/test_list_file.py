"""Lists: which image a line names, and the errors for malformed lines."""
import io
import sys
from pathlib import Path

import pytest

from occystrap_core import UsageError
from tests.unit.core.sources.files import entries_in, entries_of, opened_list

DIGEST = f'sha256:{"a" * 64}'


@pytest.mark.parametrize(('line', 'uri'), [
    ('registry.example/app:v1', 'registry://registry.example/app:v1'),
    ('registry.example:5000/team/app', 'registry://registry.example:5000/team/app'),
    ('localhost/app:v1', 'registry://localhost/app:v1'),
    ('[::1]:5000/app:v1', 'registry://[::1]:5000/app:v1'),
    (f'registry.example/app:v1@{DIGEST}', f'registry://registry.example/app:v1@{DIGEST}'),
    ('registry.example/app:v1?insecure=true', 'registry://registry.example/app:v1?insecure=true'),
    ('registry.example/team/*:v1.*', 'registry://registry.example/team/*:v1.*'),
    ('busybox', 'registry://docker.io/busybox'),
    ('grafana/grafana:10', 'registry://docker.io/grafana/grafana:10'),
    (f'busybox@{DIGEST}', f'registry://docker.io/busybox@{DIGEST}'),
    ('docker://app:v1', 'docker://app:v1'),
    ('tar:///a%23 b/c.tar', 'tar:///a%23 b/c.tar'),
    ('  registry.example/app:v1\t# the app', 'registry://registry.example/app:v1'),
])
def test_a_line(line: str, uri: str, tmp_path: Path) -> None:
    entry, = entries_in(tmp_path, 'images.txt', line)
    assert (entry.source, entry.destinations, entry.platform, entry.filters) == (uri, (), None, None)


def test_comments_blank_lines_and_what_windows_writes(tmp_path: Path) -> None:
    text = b'\xef\xbb\xbf# ours\r\n\r\nhost.example/b:1\r\n   # theirs\r\nhost.example/a:1\r\nhost.example/b:1'
    found = entries_in(tmp_path, 'images.txt', text)
    assert [entry.source[24:] for entry in found] == ['b:1', 'a:1', 'b:1'], 'in order, as often as they stand there'
    assert [entry.where for entry in found] == [f'{tmp_path}/images.txt, line {line}' for line in (3, 5, 6)]


@pytest.mark.parametrize('prune', ['true', 'empty', 'false'])
def test_a_list_that_is_cut_short_prunes_nothing(prune: str, tmp_path: Path) -> None:
    (tmp_path / 'list').write_bytes(b'host.example/a:1\nhost.example/b')
    if prune == 'false':
        assert len(list(entries_of(f'list://{tmp_path}/list?prune={prune}'))) == 2
        return
    with pytest.raises(UsageError, match='list: the last line has no newline.*add the newline'):
        entries_of(f'list://{tmp_path}/list?prune={prune}')
    (tmp_path / 'list').write_bytes(b'host.example/a:1\n')
    assert len(list(entries_of(f'list://{tmp_path}/list?prune={prune}'))) == 1


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(b'host.example/a:1\nhost.example/A:1\n')))
    with pytest.raises(UsageError, match="^stdin, line 2: .*malformed repository 'A'"):
        entries_of('list://-')


def test_all_errors_in_one_line(tmp_path: Path) -> None:
    text = 'host.example/a:1\nhost.example/App\nhost.example/a:1 host.example/b:1\nfine.example/x\n11x://x\na\x1b[2J'
    with pytest.raises(UsageError) as caught:
        entries_in(tmp_path, 'images.txt', text)
    message = str(caught.value)
    assert message.startswith(f'4 errors: {tmp_path}/images.txt, line 2: ') and message.isprintable()
    assert all(f'line {line}: ' in message for line in (2, 3, 5, 6)) and 'line 4' not in message


def test_very_many_errors_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='2000 errors.*; and 1990 more$') as caught:
        entries_in(tmp_path, 'images.txt', 'A\n' * 2000)
    assert len(str(caught.value)) < 3_000


@pytest.mark.parametrize('line', ['registry://user:canary@ho st/A\x07?x=canary', 'user:canary@host.example/a b',
                                  'user:canary@host.example/A\x07'])
def test_credentials_are_never_shown(line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        entries_in(tmp_path, 'images.txt', line)
    assert 'line 1' in str(caught.value) and 'canary' not in str(caught.value)


@pytest.mark.parametrize(('text', 'words'), [
    ('', 'lists no images'), ('# nothing\n', 'lists no images'), (b'caf\xe9', 'not UTF-8 at byte 3')])
def test_invalid_lists(text: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f'images.txt.* {words}'):
        entries_in(tmp_path, 'images.txt', text)


def test_no_file_a_directory_and_endless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match='gone.txt cannot be read: No such file'):
        entries_of(f'list://{tmp_path}/gone.txt')
    with pytest.raises(UsageError, match='cannot be read: Is a directory'):
        entries_of(f'list://{tmp_path}')
    with pytest.raises(UsageError, match='more than the 32 MiB'):
        entries_of('list:///dev/zero')


@pytest.mark.parametrize(('text', 'words'), [
    (b'', 'lists no images'), (b'# nothing\n', 'lists no images'), (b'a\ncaf\xe9\n', 'not UTF-8 at byte 5'),
    (b'a\n\0\n', 'is not text'), (b'a\nB\nC\n', '2 errors: .*images.txt, line 2: .*images.txt, line 3: ')])
def test_a_mistake_at_the_beginning_of_a_long_list_is_refused(text: bytes, words: str, tmp_path: Path) -> None:
    (path := tmp_path / 'images.txt').write_bytes(text)
    with pytest.raises(UsageError, match=words):
        next(iter(opened_list(f'list://{path}').stream(checked=4)))


def test_a_later_mistake_is_given_as_it_is_written(tmp_path: Path) -> None:
    (path := tmp_path / 'images.txt').write_bytes(b'\xef\xbb\xbfone\r\n\n# none\ntwo\nB\ncaf\xe9\nfive')
    found = list(opened_list(f'list://{path}').stream(checked=2))
    assert [each.source for each in found] == [*(f'registry://docker.io/{name}' for name in ('one', 'two')), 'B',
                                               'caf\\xe9', 'registry://docker.io/five']
    assert [each.where for each in found] == [f'{path}, line {line}' for line in (1, 4, 5, 6, 7)]


def test_an_endless_file_is_no_list() -> None:
    with pytest.raises(UsageError, match='is not text'):
        next(iter(opened_list('list:///dev/zero').stream(checked=2)))
