"""The names of kinds of requests: few, whatever clients request, so that metrics labelled with them stay small."""
import re

_METHODS = frozenset(('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'))
_IN_REPOSITORY = re.compile(r'/v2/.+/(blobs/uploads|blobs|manifests|tags|referrers)(?:/.*)?', re.DOTALL)
_PATHS = {'/v2': 'version', '/v2/': 'version', '/v2/_catalog': 'catalog', '/token': 'token', '/healthz': 'health',
          '/readyz': 'health', '/metrics': 'metrics', '/': 'status', '/status': 'status'}
UPLOADS, BLOBS, MANIFESTS = 'uploads', 'blobs', 'manifests'
OTHER = 'other'


def route_name(path: str) -> str:
    """Return the kind of a path: `blobs`, `uploads`, `manifests` and so on, `other` for anything unknown."""
    if found := _IN_REPOSITORY.fullmatch(path):
        return found[1].rpartition('/')[2]
    return _PATHS.get(path, OTHER)


def method_name(method: str) -> str:
    """Return a method, `other` for one that the registry does not know."""
    return method if method in _METHODS else OTHER
