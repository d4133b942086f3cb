"""Copies small images and does nothing else: `python -m benchmarks.bare_copier FROM TO NAME…`.

What a program in Python cannot go below, with http.client on connections that are kept: each image's manifest, config
and layer are read and hashed, sent to the other registry, and asked for again there. Eight images at once. It knows no
login, no redirect, no error, and no image but those of one manifest.
"""
import hashlib
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.services.tiny_image import MANIFEST_TYPE

AT_ONCE = 8


class Connections(threading.local):
    """The connections of one thread to both registries."""

    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = HTTPConnection(source), HTTPConnection(target)


def asked(connection: HTTPConnection, method: str, path: str, expected: int, body: bytes | None = None,
          ) -> tuple[bytes, str]:
    """Return the body and the Location of an answer; ends the program when it has another status."""
    headers = {'Content-Type': MANIFEST_TYPE if '/manifests/' in path else 'application/octet-stream'} if body else {}
    connection.request(method, path, body, {**headers, 'Accept': MANIFEST_TYPE})
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != expected:
        sys.exit(f'{method} {path}: HTTP {answer.status}')
    return data, answer.headers.get('Location', '')


def right(data: bytes, digest: str) -> bytes:
    """Return the bytes; ends the program when their digest is another."""
    if f'sha256:{hashlib.sha256(data).hexdigest()}' != digest:
        sys.exit(f'{digest} is damaged')
    return data


def sent(target: HTTPConnection, name: str, blob: bytes, digest: str) -> None:
    """Send a blob."""
    _, location = asked(target, 'POST', f'/v2/{name}/blobs/uploads/', 202, b'')
    place = urlsplit(location)
    asked(target, 'PUT', f'{place.path}?{place.query}&digest={digest}', 201, blob)


def copied(connections: Connections, name: str) -> None:
    """Copy one image, and look whether it arrived."""
    source, target = connections.source, connections.target
    raw, _ = asked(source, 'GET', f'/v2/{name}/manifests/v1', 200)
    manifest = json.loads(raw)
    for each in (*manifest['layers'], manifest['config']):
        blob, _ = asked(source, 'GET', f'/v2/{name}/blobs/{each["digest"]}', 200)
        sent(target, name, right(blob, each['digest']), each['digest'])
    asked(target, 'PUT', f'/v2/{name}/manifests/v1', 201, raw)
    right(asked(target, 'GET', f'/v2/{name}/manifests/v1', 200)[0], f'sha256:{hashlib.sha256(raw).hexdigest()}')
    config = manifest['config']['digest']
    right(asked(target, 'GET', f'/v2/{name}/blobs/{config}', 200)[0], config)
    for each in manifest['layers']:
        asked(target, 'HEAD', f'/v2/{name}/blobs/{each["digest"]}', 200)


def main(source: str, target: str, names: list[str]) -> None:
    """Copy all images."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(partial(copied, Connections(source, target)), names))


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
