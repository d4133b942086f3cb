"""A registry with a profile: HTTP on 127.0.0.1, with the hosts for tokens and for blobs that the profile has."""
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, ExitStack
from dataclasses import replace
from urllib.parse import unquote

from tests.services.registry_profiles.access import Access, refuse
from tests.services.registry_profiles.listings import Listings
from tests.services.registry_profiles.profile import Profile, Refusal
from tests.services.registry_profiles.store import Repository, Store, digest_of
from tests.services.registry_profiles.uploads import UploadsOf
from tests.unit.registry.scripted import Request, Answer, Scripted

_RESOURCE = re.compile(r'/v2/(?P<repository>.+?)/(?P<kind>manifests|blobs|referrers|tags)/(?P<name>.+)')
_BLOB = re.compile(r'/storage/(GET|HEAD|BOTH)/(.+)')
_DIGEST_TAG = re.compile(r'sha256-[0-9a-f]{64}')


class _Server(Scripted):
    """A host that one function answers for."""

    def __init__(self, respond: Callable[[Request], Answer], profile: Profile) -> None:
        super().__init__(protocol=profile.protocol)
        self._respond, self._profile, self._lock = respond, profile, threading.RLock()

    def answer(self, request: Request) -> Answer:
        """Record and answer."""
        with self._lock:
            self.requests.append(request)
            say = self._respond(request)
        headers = [*say.headers, *self._profile.headers]
        if self._profile.lower_case_headers:
            headers = [(name.lower(), value) for name, value in headers]
        return replace(say, headers=headers)


class ProfiledRegistry:
    """The registry; what it has is in `store`, `requests` are those to all of its hosts, in order of the hosts."""

    def __init__(self, profile: Profile) -> None:
        self.profile, self.store, self.access = profile, Store(), Access(profile)
        self._registry = _Server(self._answer, profile)
        self._tokens = _Server(self.access.token, profile)
        self._storage = _Server(self._answer_of_storage, profile)
        self._uploads = UploadsOf(profile, self.store, lambda: f'http://{self.host}')
        self._listings = Listings(profile, self.store)
        self._unsettled: dict[tuple[str, str], int] = {}
        self.before: Callable[[Request], None] = lambda request: None
        """Called with each request to the registry itself, before it is answered."""
        self._manifests, self._breaks = 0, profile.breaks
        self._backend = ProfiledRegistry(profile.backend()) if profile.backend else None
        if self._backend:
            self._backend.store.share(self.store)

    @property
    def host(self) -> str:
        """The registry's `host:port`."""
        return self._registry.host

    @property
    def requests(self) -> list[Request]:
        """The requests so far."""
        behind = self._backend.requests if self._backend else []
        return [*self._registry.requests, *self._tokens.requests, *self._storage.requests, *behind]

    def received(self, method: str, path: str) -> list[Request]:
        """Return the requests by a method to paths that match a regular expression."""
        return [each for each in self.requests if each.method == method and re.search(path, each.path)]

    def forget(self) -> None:
        """Empty the record of requests."""
        for server in (self._registry, self._tokens, self._storage):
            server.requests.clear()
        if self._backend:
            self._backend.forget()

    @contextmanager
    def running(self) -> Iterator['ProfiledRegistry']:
        """Run it."""
        with ExitStack() as stack:
            for server in (self._registry, self._tokens, self._storage):
                stack.enter_context(server)
            if self._backend:
                stack.enter_context(self._backend.running())
            tokens = self._tokens if self.profile.has_token_host else self._registry
            self.access.realm = f'http://{tokens.host}{self.profile.realm}'
            yield self

    def _answer(self, request: Request) -> Answer:
        profile, count = self.profile, len(self._registry.requests)
        self.before(request)
        if self.profile.every and count % profile.every == 0:
            return refuse(profile.busy) if profile.busy.status else Answer(silent=True)
        if self._breaks and len(request.body) > profile.breaks_bodies_over > 0:
            self._breaks -= 1
            return Answer(silent=True)
        if profile.is_read_only and request.method not in ('GET', 'HEAD'):
            return refuse(Refusal(405, 'UNSUPPORTED', 'the operation is unsupported'))
        if self._backend and (profile.redirects_ping or request.path not in ('/v2/', '/v2/_catalog')):
            target = request.target if profile.keeps_query else request.path
            return Answer(307, b'', [('Location', f'http://{self._backend.host}{target}')])
        if profile.realm and request.path == profile.realm:
            return self.access.token(request)
        if upload := self._uploads.find(request.path):
            return self.access.refusal(request, upload[0], 'pull,push') or self._uploads.go_on(request, *upload)
        if request.path == '/v2/':
            return self.access.refusal(request, '', 'pull') or Answer(200, b'{}')
        if request.path == '/v2/_catalog':
            return self.access.refusal(request, '', 'pull') or self._listings.catalog(request)
        found = _RESOURCE.fullmatch(unquote(request.path))
        return self._resource(request, *found.groups()) if found else Answer(404)

    def _resource(self, request: Request, repository: str, kind: str, name: str) -> Answer:
        actions = 'pull' if request.method in ('GET', 'HEAD') else 'pull,push'
        origin = request.query.get('from', [''])[0]
        if refused := self.access.refusal(request, repository, actions, origin):
            return refused
        if kind == 'tags':
            return self._listings.tags(request, repository)
        if kind == 'referrers':
            return self._listings.referrers(repository, name, self._storage.host)
        if kind == 'manifests':
            return self._manifest(request, repository, name)
        if name in ('uploads', 'uploads/') and request.method == 'POST':
            return self._uploads.begin(request, repository)
        return self._blob(request, repository, name)

    def _manifest(self, request: Request, repository: str, name: str) -> Answer:
        if request.method == 'PUT':
            return self._put_manifest(request, repository, name)
        if request.method == 'DELETE':
            return refuse(Refusal(405, 'UNSUPPORTED', 'the operation is unsupported'))
        return self._get_manifest(request, repository, name)

    def _get_manifest(self, request: Request, repository: str, name: str) -> Answer:
        profile = self.profile
        if self._unsettled.get((repository, name), 0):
            self._unsettled[repository, name] -= 1
            return refuse(Refusal(404, 'MANIFEST_UNKNOWN', 'manifest unknown'))
        self._manifests += 1
        if profile.limits_after and self._manifests % (profile.limits_after + 1) == 0:
            return refuse(profile.limited)
        kept = self.store.repositories.get(repository, Repository())
        if profile.digest_tag_is_subject and _DIGEST_TAG.fullmatch(name) and name not in kept.tags:
            name = name.replace('-', ':')
        found = kept.find(name)
        if found is None:
            return refuse(Refusal(404, 'MANIFEST_UNKNOWN', 'manifest unknown'))
        if found[0] not in request.headers.get('accept', ''):
            return refuse(Refusal(404, 'MANIFEST_UNKNOWN', f'{found[0]} found, but Accept header does not support it'))
        digest = [('Docker-Content-Digest', digest_of(found[1]))] if profile.has_digest_header else []
        return Answer(200, found[1], [('Content-Type', found[0] + profile.manifest_type_suffix), *digest])

    def _put_manifest(self, request: Request, repository: str, name: str) -> Answer:
        profile, kept = self.profile, self.store.repositories[repository]
        kind = request.headers.get('content-type', '')
        there = kept.find(name)
        if kind in dict(profile.refused_types):
            return refuse(dict(profile.refused_types)[kind])
        changes = there is not None and (profile.is_immutable_for_same or there[1] != request.body)
        if profile.immutable and changes and ':' not in name:
            return refuse(profile.immutable)
        if kept.missing(request.body, self.store.content if profile.has_one_store else ()):
            return refuse(Refusal(400, 'MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry'))
        digest = kept.put(name, (kind, request.body))
        self._unsettled[repository, name] = profile.settles_after
        subject = [('OCI-Subject', digest)] if profile.announces_subject and b'"subject"' in request.body else []
        return Answer(201, b'', [('Location', f'/v2/{repository}/manifests/{digest}'),
                                 ('Docker-Content-Digest', digest), *subject])

    def _blob(self, request: Request, repository: str, digest: str) -> Answer:
        profile, data = self.profile, self.store.blob(repository, digest)
        if data is None and profile.has_one_store and digest in self.store.content:
            data = self.store.content[digest]
        if data is None:
            return refuse(Refusal(404, 'BLOB_UNKNOWN', 'blob unknown to registry'))
        if profile.redirects_blobs and (request.method == 'GET' or profile.redirects_heads):
            signed = 'GET' if profile.signs_for_get_only else 'BOTH'
            target = f'http://{self._storage.host}/storage/{signed}/{digest}?X-Amz-Signature=a%2Bb%2F%3D%3D'
            return Answer(profile.redirects_blobs, b'', [('Location', target)])
        if request.method == 'HEAD' and profile.head_of_blob != 200:
            return Answer(profile.head_of_blob)
        return self._content(request, data, digest)

    def _answer_of_storage(self, request: Request) -> Answer:
        found = _BLOB.fullmatch(request.path)
        if not found:
            return refuse(Refusal(429, headers=(('Retry-After', '60'), )))
        if request.authorization:
            return Answer(400, b'<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message>')
        if found[1] not in ('BOTH', request.method) or request.query.get('X-Amz-Signature') != ['a+b/==']:
            return Answer(403, b'<Error><Code>SignatureDoesNotMatch</Code></Error>')
        return self._content(request, self.store.content[found[2]], '')

    def _content(self, request: Request, data: bytes, digest: str) -> Answer:
        headers = [('Content-Type', 'application/octet-stream'),
                   *([('Docker-Content-Digest', digest)] if digest else [])]
        part = re.fullmatch(r'bytes=(\d+)-(\d*)', request.headers.get('range', ''))
        if not part or not self.profile.answers_ranges:
            return Answer(200, data, headers)
        start, end = int(part[1]), int(part[2] or len(data)) + 1
        if start >= len(data):
            return Answer(416, b'', [('Content-Range', f'bytes */{len(data)}')])
        piece = data[start:end]
        return Answer(206, piece, [*headers, ('Content-Range', f'bytes {start}-{start + len(piece) - 1}/{len(data)}')])
