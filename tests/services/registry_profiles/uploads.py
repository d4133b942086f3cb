"""Uploads as a profile has them."""
import fnmatch
import re
import secrets
from collections.abc import Callable
from urllib.parse import parse_qs

from tests.services.registry_profiles.access import refuse
from tests.services.registry_profiles.profile import Profile, Refusal
from tests.services.registry_profiles.store import Store, digest_of
from tests.unit.registry.scripted import Request, Answer

_RANGE = re.compile(r'(\d+)-(\d+)')


class UploadsOf:
    """The uploads to a registry; `base` returns its URL."""

    def __init__(self, profile: Profile, store: Store, base: Callable[[], str]) -> None:
        self._profile, self._store, self._base = profile, store, base
        self._begun: dict[str, tuple[str, bytearray]] = {}
        template = re.escape(profile.upload_path).replace(r'\{repository\}', '(.+)').replace(r'\{upload\}', '([^/]+)')
        self._path = re.compile(template)

    def find(self, path: str) -> tuple[str, str] | None:
        """Return repository and upload that a path names, None for another path."""
        found = self._path.fullmatch(path)
        return (found[1], found[2]) if found and found[2] in self._begun else None

    def begin(self, request: Request, repository: str) -> Answer:
        """Answer POST: mount a blob, or begin an upload."""
        existing = self._profile.existing
        if existing and not any(fnmatch.fnmatchcase(repository, each) for each in existing):
            return refuse(self._profile.unknown_repository)
        mount, origin = request.query.get('mount', [''])[0], request.query.get('from', [''])[0]
        if mount and self._mounts(mount, origin):
            self._store.repositories[repository].blobs.add(mount)
            return Answer(201, b'', [('Location', f'/v2/{repository}/blobs/{mount}'), ('Docker-Content-Digest', mount)])
        upload = secrets.token_urlsafe(12)
        self._begun[upload] = repository, bytearray()
        return Answer(202, b'', [*self._where(repository, upload), ('Docker-Upload-UUID', upload), ('Range', '0-0')])

    def go_on(self, request: Request, repository: str, upload: str) -> Answer:
        """Answer PATCH, PUT, GET and DELETE of an upload."""
        received = self._begun[upload][1]
        if request.method == 'DELETE':
            if self._profile.cancels_uploads < 300:
                del self._begun[upload]
            return Answer(self._profile.cancels_uploads)
        if request.method == 'PATCH':
            return self._patch(request, repository, upload, received)
        if request.method == 'GET':
            return Answer(204, b'', [*self._where(repository, upload), self._range(received)])
        return self._finish(request, repository, upload, received)

    def _mounts(self, digest: str, origin: str) -> bool:
        there = self._store.blob(origin, digest) is not None
        is_used = self._profile.mounts == 'all' or (
            self._profile.mounts == 'referenced' and self._store.repositories[origin].is_referenced(digest))
        return there and is_used

    def _patch(self, request: Request, repository: str, upload: str, received: bytearray) -> Answer:
        profile, chunk = self._profile, _RANGE.fullmatch(request.headers.get('content-range', ''))
        if not profile.takes_chunks and chunk:
            return refuse(Refusal(400, 'BLOB_UPLOAD_INVALID', 'chunked uploads are not supported'))
        if chunk and int(chunk[1]) != len(received):
            return Answer(416, b'', [*self._where(repository, upload), self._range(received)])
        if chunk and profile.largest_chunk and len(request.body) > profile.largest_chunk:
            return refuse(Refusal(416, 'REQUESTED_RANGE_NOT_SATISFIABLE', 'the request body is too large and exceeds '
                                  f'the maximum permissible limit of {profile.largest_chunk} bytes'))
        first = not received
        received += request.body
        shown = received if first or not profile.range_is_stuck else received[:len(request.body)]
        return Answer(202, b'', [*self._where(repository, upload), self._range(shown)])

    def _finish(self, request: Request, repository: str, upload: str, received: bytearray) -> Answer:
        profile, digest = self._profile, request.query.get('digest', [''])[0]
        if request.body and not received and not profile.takes_whole_blobs:
            return refuse(Refusal(405, 'UNSUPPORTED', 'the operation is unsupported'))
        data = bytes(received + request.body)
        del self._begun[upload]
        if digest_of(data) != digest:
            return refuse(Refusal(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content'))
        if profile.has_one_store and digest in self._store.content:
            return refuse(Refusal(400, 'BLOB_UPLOAD_INVALID', 'blob upload invalid',
                                  detail=f'docker-hosted/v2/-/blobs/{digest} cannot be updated'))
        self._store.put_blob(repository, data)
        return Answer(201, b'', [('Location', f'/v2/{repository}/blobs/{digest}'), ('Docker-Content-Digest', digest)])

    def _where(self, repository: str, upload: str) -> list[tuple[str, str]]:
        query = self._profile.upload_query
        path = self._profile.upload_path.format(repository=repository, upload=upload)
        base = self._base() if self._profile.has_absolute_uploads else ''
        return [('Location', f'{base}{path}{"?" if query else ""}{query}')]

    def _range(self, received: bytes | bytearray) -> tuple[str, str]:
        return 'Range', f'0-{max(0, len(received) - 1)}'


def query_of(request: Request) -> dict[str, str]:
    """Return the last value of each parameter."""
    return {name: values[-1] for name, values in parse_qs(request.target.partition('?')[2]).items()}
