"""A registry from which a proxy reads or in which it stores, addressed by the names that clients of the proxy use."""
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from occystrap_core import ImageNotFound, Location, OutputError, ServiceError, Settings, UsageError
from occystrap_core.files import ByteStream
from occystrap_core.oci import Descriptor, Digest, Index, Manifest
from occystrap_registry.distribution.blobs import BlobSource, stored_size
from occystrap_registry.distribution.catalog import list_repositories, list_tags
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import find_manifest, get_manifest, present_digest
from occystrap_registry.distribution.manifests import put_manifest
from occystrap_registry.distribution.referrers import list_referrers, referrers_by_api
from occystrap_registry.distribution.removal import CANNOT_DELETE, DELETED
from occystrap_registry.distribution.settle_time import SettleTime
from occystrap_registry.distribution.uploads import Uploads
from occystrap_registry.transport.address import Address, parse_address, split_userinfo

_LOGIN = ('username', 'password')
_PIECE = 1 << 20
_PATIENCE = 5.0
"""Timeout in seconds for finding out whether a registry answers."""


class Remote:
    """A registry, or its part below a prefix. Methods raise ServiceError, and may be called by several threads."""

    def __init__(self, location: Location, settings: Settings) -> None:
        """`location` is `registry://HOST[/PREFIX]`; its login is kept in the settings. Raises UsageError."""
        _, name = split_userinfo(location.path)
        host, _, prefix = name.rstrip('/').partition('/')
        base = location.with_path(f'{location.path.rstrip("/")}/any')
        if not host:
            raise UsageError(f'{location} has no host: give registry://HOST[/PREFIX]')
        if ':' in prefix or '@' in prefix:
            raise UsageError(f'{location} names an image: give registry://HOST[/PREFIX], to which names are added')
        address = parse_address(base, settings)
        self._location, self._settings, self._address = base, settings, address
        self._prefix = f'{prefix}/' if prefix else ''
        self.name = f'{address.reference.host}/{prefix}'.rstrip('/')
        """Host and prefix, for messages."""
        self.host = address.host
        """The host of its API."""

    @property
    def has_login(self) -> bool:
        """Whether its address was given with a login."""
        return self._address.credentials is not None

    def uri(self, repository: str, named: str, **options: str) -> str:
        """Return the URI of an image; `named` is `:tag`, `@digest` or empty."""
        given = {name: value for name, value in self._location.given.items() if name not in _LOGIN}
        return str(Location('registry', f'{self.full_name(repository)}{named}', {}, {**given, **options}))

    def full_name(self, repository: str) -> str:
        """Return a repository's name with the host and the prefix."""
        return f'{self._address.reference.host}/{self._prefix}{repository}'

    def own_name(self, repository: str) -> str:
        """Return the name that clients of the proxy use for a repository of the registry."""
        return repository.removeprefix(self._prefix)

    def manifest(self, repository: str, reference: Digest | str) -> Manifest | Index | None:
        """Return a manifest or index, checked against its digest; None if there is none. Raises InvalidImage."""
        with self._client(repository) as client:
            return find_manifest(client, reference)

    def digest(self, repository: str, tag: str) -> Digest:
        """Return the digest that a tag means now; raises ImageNotFound, InvalidImage."""
        with self._client(repository) as client:
            return present_digest(client, tag)

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Return the size in bytes of a blob, None if there is none."""
        with self._client(repository) as client:
            reply, size = stored_size(client, digest, client.address.pull_scope)
            if reply.status == 404:
                return None
            if reply.status not in (200, 206, 416):
                raise client.failure(reply, f'blob {digest} cannot be read from {self.full_name(repository)}')
            return size or 0

    @contextmanager
    def blob(self, repository: str, digest: Digest, size: int) -> Iterator[ByteStream]:
        """Open a blob; reading it to its end checks it. Raises ImageNotFound, DigestMismatch."""
        with self._client(repository) as client:
            source = BlobSource(client, Descriptor('', digest, size))
            with ByteStream(source, digest=digest, size=size, what=f'blob {digest} of {self.name}') as stream:
                yield stream

    def send_blob(self, repository: str, digest: Digest, path: Path) -> None:
        """Send a blob from a file, even if the registry says that it has it."""
        with self._client(repository) as client:
            uploads = Uploads(client, frozenset([digest]))
            uploads.put(Descriptor('', digest, path.stat().st_size), lambda: _pieces(path))

    def tag(self, repository: str, tag: str, digest: Digest) -> None:
        """Set a tag to a manifest that is there, and check the result; raises ImageNotFound, OutputError."""
        with self._client(repository) as client:
            document = get_manifest(client, digest)
            put_manifest(client, tag, document)
            settle = SettleTime(self._settings)
            while (found := find_manifest(client, tag)) is None or found.raw != document.raw:
                if not settle.again():
                    raise OutputError(f'{client.address.name_of(tag)} is not what was written: it is '
                                      f'{found.digest if found else "missing"}, expected {digest}')

    def delete(self, repository: str, reference: Digest | str) -> None:
        """Delete a tag, or a manifest with all its tags, and check that it is gone.

        Raises ImageNotFound, UsageError if the registry does not permit that, OutputError if it reports success without
        deleting.
        """
        with self._client(repository) as client:
            target, name = client.address.manifest(reference), client.address.name_of(reference)
            reply = client.fetch('DELETE', target, f'repository:{client.address.reference.repository}:pull,delete')
            if reply.status == 404:
                raise ImageNotFound(f'{name} is not there')
            if reply.status in CANNOT_DELETE:
                raise UsageError(f'{client.address.host} does not delete {name} (HTTP {reply.status})')
            if reply.status not in DELETED:
                raise client.failure(reply, f'{name} cannot be deleted')
            settle = SettleTime(self._settings)
            while (seen := client.fetch('HEAD', target, client.address.pull_scope)).status != 404:
                if seen.status != 200:
                    raise client.failure(seen, f'{name} was deleted, but it cannot be seen that it is gone')
                if not settle.again():
                    raise OutputError(f'{name} is still there after it was deleted')

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository; raises ImageNotFound."""
        with self._client(repository) as client:
            return sorted(list_tags(client, client.address.reference.repository))

    def repositories(self) -> list[str]:
        """Return the names of all repositories below the prefix, without the prefix."""
        with self._client('any') as client:
            return sorted(self.own_name(name) for name in list_repositories(client)
                          if name.startswith(self._prefix))

    def referrers(self, repository: str, subject: Digest) -> list[Descriptor]:
        """Return the referrers of a manifest."""
        with self._client(repository) as client:
            return list_referrers(client, subject)

    def lists_referrer(self, repository: str, subject: Digest, digest: Digest) -> bool:
        """Return whether the registry's own list of referrers has one; without such a list, clients keep one under a
        tag."""
        with self._client(repository) as client:
            return any(each.digest == digest for each in referrers_by_api(client, subject) or ())

    def require_answer(self) -> ServiceError | None:
        """Raise ServiceError unless the registry answers one request now; return why it may not be a registry."""
        patience = min(_PATIENCE, self._settings.timeout)
        with self._client('any', replace(self._settings, timeout=patience, retries=0)) as client:
            return client.connect(client.address.pull_scope)

    @contextmanager
    def _client(self, repository: str, settings: Settings | None = None) -> Iterator[RegistryClient]:
        client = RegistryClient(self._of(repository), settings or self._settings)
        try:
            yield client
        finally:
            client.close()

    def _of(self, repository: str) -> Address:
        found = parse_address(self._location.with_path(f'{self.full_name(repository)}:latest'), self._settings)
        return found._replace(credentials=self._address.credentials)


def replaced_parts(source: Remote, copy: Remote, repository: str, original: Digest, stored: Digest,
                   ) -> Iterator[tuple[Digest, Digest]]:
    """Yield which part of an index, and of nested ones, became which in a filtered copy: parts keep their positions.

    Nothing for an image. Raises InvalidImage, ServiceError.
    """
    if original == stored or not isinstance(found := copy.manifest(repository, stored), Index):
        return
    whole = source.manifest(repository, original)
    if isinstance(whole, Index) and len(whole.manifests) == len(found.manifests):
        for before, after in zip(whole.manifests, found.manifests, strict=True):
            yield before.digest, after.digest
            yield from replaced_parts(source, copy, repository, before.digest, after.digest)


def _pieces(path: Path) -> Iterator[memoryview]:
    with path.open('rb') as file:
        while piece := file.read(_PIECE):
            yield memoryview(piece)
