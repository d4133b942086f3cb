"""What users write instead of a URI: the name of an image, as for docker, or the path of a file or directory."""
import re

from occystrap_core.api.uri import parse_uri, redact
from occystrap_core.errors import UsageError
from occystrap_core.oci.reference import Reference

_LEFT_TO_THE_INPUT = re.compile(r'[*?\[@]')
"""Characters of globs, credentials and digests, which only the input can interpret."""
_FOREIGN = {
    'docker-archive': 'tar://{}', 'oci-archive': 'tar://{}', 'oci-layout': 'layout://{}', 'ocidir': 'layout://{}',
    'docker-daemon': 'docker://{}', 'containers-storage': 'docker://{}'}
"""Transports of other programs that are no schemes here."""
_TRANSPORTS = {
    **_FOREIGN, 'tar': 'tar://{}', 'oci': 'layout://{}', 'layout': 'layout://{}', 'dir': 'dir://{}',
    'mounts': 'mounts://{}', 'list': 'list://{}', 'plan': 'plan://{}'}
"""Words before a colon that are transports of other programs, or schemes without `//`; no image on Docker Hub has one
of these names."""
_SERVICES = ('registry', 'quay', 'docker', 'dockerpush', 'podman', 's3')
"""Schemes whose names no path follows; some of them are also images on Docker Hub, such as `registry:2`."""
_PATH = re.compile(r'\.{0,2}/.*|\.\.?', re.DOTALL)


def is_path(text: str) -> bool:
    """Return whether text is a path: it begins with `/`, `./` or `../`."""
    return bool(_PATH.fullmatch(text))


def require_no_transport(text: str) -> None:
    """Raise UsageError for a location in the form of skopeo and podman, such as `oci:PATH`; the message says what to
    write."""
    transport, colon, rest = text.partition(':')
    if colon and transport in _SERVICES and re.match('/[^/]', rest):
        raise UsageError(f'{redact(text)} has no //: write {redact(f"{transport}:/{rest}")}')
    if colon and transport in _TRANSPORTS and not rest.startswith('//'):
        raise UsageError(f'{redact(text)} has no //: write {_TRANSPORTS[transport].format(redact(rest))}')


def require_text(text: str) -> None:
    """Raise UsageError for an empty location, for example from a variable that is not set, and for `-`."""
    if not text.strip():
        raise UsageError('a location is empty: give SCHEME://PATH, or the name of an image')
    if text == '-':
        raise UsageError('- does not say which format: write tar://- for an archive')


def scheme_of_transport(name: str, rest: str) -> str:
    """Return what to write for `name://rest` if that is a transport of skopeo or regctl, empty for another name."""
    if name == 'podman':
        return f'docker://{redact(rest)}{"&" if "?" in rest else "?"}engine=podman'
    return _FOREIGN.get(name, '').format(redact(rest))


def require_no_tilde(path: str, prefix: str = '') -> None:
    """Raise UsageError for a path that begins with a home directory, which the shell has left as it is.

    It does so behind `://`, behind `=` and in quotes, and a directory named `~` would be made or missed.
    """
    import os  # late, with what only short and wrong locations need
    if path.startswith('~') and (home := os.path.expanduser(path)) != path:
        raise UsageError(f'{prefix}{path}: the shell has left ~ as it is: write {prefix}{home}, or {prefix}./{path} '
                         'if a directory has this name')


def path_uri(scheme: str, text: str) -> str:
    """Return the URI of a path, which may have options behind a `?`."""
    path, mark, options = text.partition('?')
    return f'{scheme}://{path.replace("%", "%25")}{mark}{options}'


def registry_uri(text: str) -> str:
    """Return the URI of an image's name, without a host on Docker Hub, as docker reads names.

    Raises UsageError for malformed text.
    """
    require_no_transport(text)
    require_text(text)
    if not text.isprintable():
        raise UsageError(f'{redact(text)!r} has control characters')
    if re.search(r'\s', text.partition('?')[0]):
        raise UsageError(f'{redact(text)!r} is more than one reference')
    uri = f'registry://{text}' if has_host(text) else f'registry://docker.io/{text}'
    path = parse_uri(uri).path
    if not _LEFT_TO_THE_INPUT.search(path):
        Reference.parse(path, with_host=True)
    return uri


def has_host(text: str) -> bool:
    """Return whether the name of an image begins with a host."""
    first, slash, _ = text.partition('?')[0].partition('/')
    return bool(slash) and (first == 'localhost' or any(mark in first for mark in '.:@'))
