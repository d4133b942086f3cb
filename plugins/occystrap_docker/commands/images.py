"""The command `images`: list the images of a daemon."""
import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from typing import Any

import click

from occystrap_core import Location, OptionType, ServiceError, Settings, UsageError
from occystrap_core.files import print_json, print_lines, printable, size_text
from occystrap_core.oci import Digest, compile_pattern, natural_key, split_tag
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.daemon.image_list import Listed
from occystrap_docker.daemon.selection import NamePattern, nothing_matches
from occystrap_docker.options import CONNECTION

_LOG = logging.getLogger('occystrap.docker')
_SCHEME = 'docker'
_SHORT = 12
_JOBS = 8
_HEADINGS = ('NAME', 'IMAGE ID', 'SIZE', 'CREATED', 'PLATFORM')


@click.command()
@click.argument('location', metavar='[docker://[PATTERN]]', default='docker://')
@click.option('-O', '--output-format', 'shape', type=click.Choice(['text', 'json']), help='The format of stdout.')
@click.option('--timeout', type=OptionType.number(0.1, name='seconds'), default=60.0,
              show_default=True, metavar='SECONDS',
              help='Timeout for an answer of the daemon.')
@click.pass_context
def images(context: click.Context, /, location: str, shape: str | None, timeout: float) -> None:
    """List the images of a Docker or Podman daemon, one name per line, with times in UTC; <none> means untagged.

    PATTERN is a name, a name:tag, or a pattern such as team/*:v1.*; without a tag it matches all tags. The options of
    docker:// are accepted, such as docker://?engine=podman.
    """
    requested, pattern = _parse(location)
    settings = Settings(jobs=_JOBS, timeout=timeout)
    with closing(settings.shared), closing(Daemon(requested.options, settings)) as daemon:
        rows = _rows(daemon, pattern)
        platforms = _platforms(daemon, rows, settings)
        address = str(daemon.address)
    if (shape or getattr(context.find_root().obj, 'format', 'text')) == 'json':
        print_json({'daemon': address, 'images': [_entry(row, platforms) for row in rows]})
    else:
        print_lines(_table([_HEADINGS, *(_cells(row, platforms) for row in rows)]))


def _parse(text: str) -> tuple[Location, NamePattern | None]:
    """Return the location and the pattern in it, None for all images; raises UsageError."""
    scheme, separator, rest = text.partition('://')
    everything = bool(separator) and not rest.partition('?')[0]
    if separator and scheme != _SCHEME:
        instead = '; occystrap tags lists a registry' if scheme == 'registry' else ''
        raise UsageError(f'{scheme}:// cannot be listed: give {_SCHEME}:// or {_SCHEME}://PATTERN{instead}')
    location = Location.parse(f'{scheme}://**{rest}' if everything else text, CONNECTION)
    return location, None if everything else _pattern(location.path)


def _pattern(path: str) -> NamePattern:
    repository, colon, tag = split_tag(path)
    return (NamePattern.parse(path, '*')
            or NamePattern(path, compile_pattern(repository), compile_pattern(tag if colon else '*')))


def _rows(daemon: Daemon, pattern: NamePattern | None) -> Sequence[Listed]:
    """Return the matching images in natural order of their names, untagged images last; raises ImageNotFound."""
    there = daemon.images()
    rows = [row for row in there if pattern is None or (row.repository and pattern.matches(row.repository, row.tag))]
    if pattern and not rows:
        raise nothing_matches(pattern.text, str(daemon.address), [row.name for row in there if row.tag])
    return sorted(rows, key=lambda row: (not row.repository, natural_key(row.repository), natural_key(row.tag),
                                         -row.created))


def _platforms(daemon: Daemon, rows: Sequence[Listed], settings: Settings) -> Mapping[Digest, str]:
    """Return the platform of each image; one that was removed meanwhile has none."""
    ids = list(dict.fromkeys(row.id for row in rows))
    facts = settings.in_parallel(partial(_facts, daemon), ids, helping=True)
    return {image_id: str(each.platform) for image_id, each in zip(ids, facts, strict=True) if each and each.platform}


def _facts(daemon: Daemon, image_id: Digest) -> ImageFacts | None:
    """Return the facts of an image, None if the daemon cannot describe it, as when it is damaged."""
    try:
        return daemon.find(image_id)
    except ServiceError as error:
        _LOG.debug('%s', error)
        return None


def _entry(row: Listed, platforms: Mapping[Digest, str]) -> dict[str, Any]:
    return {'name': row.name if row.tag else None, 'repository': row.repository or None, 'tag': row.tag or None,
            'id': row.id, 'size': row.size, 'created': _time(row).isoformat().replace('+00:00', 'Z'),
            'platform': platforms.get(row.id) or None, 'digests': list(row.digests)}


def _cells(row: Listed, platforms: Mapping[Digest, str]) -> tuple[str, ...]:
    return (printable(row.name), row.id.hex[:_SHORT], size_text(row.size), f'{_time(row):%Y-%m-%d %H:%M}',
            printable(platforms.get(row.id, '')))


def _time(row: Listed) -> datetime:
    return datetime.fromtimestamp(row.created, timezone.utc)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
