"""Pushing blobs (distribution-spec, Pushing blobs): looked for first, then sent in one streaming request."""
from collections.abc import Iterable

import httpx

from occystrap_core import OutputError, ServiceUnavailable
from occystrap_core.oci import Descriptor
from occystrap_registry.blobs import push_scope
from occystrap_registry.client import Body, RegistryClient


def has_blob(client: RegistryClient, descriptor: Descriptor) -> bool:
    """Tell whether the registry has a blob of this digest and size in the repository."""
    repository = client.address.repository
    with client.request('HEAD', f'/v2/{repository}/blobs/{descriptor.digest}', push_scope(repository)) as response:
        if response.status_code not in (200, 404):
            client.fail(response, f'{client.address.host} does not tell of blob {descriptor.digest}')
        length = response.headers.get('content-length')
        return response.status_code == 200 and bool(length == str(descriptor.size))


def push_blob(client: RegistryClient, descriptor: Descriptor, body: Body) -> None:
    """Send a blob; a broken attempt starts over with a new upload. Raises OutputError, ServiceError."""
    attempt = 0
    while True:
        try:
            _push_once(client, descriptor, body)
            return
        except ServiceUnavailable:
            if attempt >= client.settings.retries:
                raise
            attempt += 1
            client.wait_after(httpx.TransportError('the upload broke off'), attempt)


def _push_once(client: RegistryClient, descriptor: Descriptor, body: Body) -> None:
    repository = client.address.repository
    scope = push_scope(repository)
    with client.request('POST', f'/v2/{repository}/blobs/uploads/', scope, {'Content-Length': '0'}) as started:
        if started.status_code != 202 or 'location' not in started.headers:
            client.fail(started, f'{client.address.host} does not take blobs for {repository}')
        target = started.request.url.join(started.headers['location'])
    target = target.copy_merge_params({'digest': str(descriptor.digest)})
    headers = {'Content-Length': str(descriptor.size), 'Content-Type': 'application/octet-stream'}
    with client.request('PUT', str(target), scope, headers, body) as finished:
        if finished.status_code != 201:
            client.fail(finished, f'{client.address.host} refuses blob {descriptor.digest}')
        told = finished.headers.get('docker-content-digest')
        if told not in (None, descriptor.digest):
            raise OutputError(f'{client.address.host} stored blob {descriptor.digest} as {told}')


def whole(data: bytes) -> Body:
    """Return a body that is one piece of bytes."""
    def body() -> Iterable[memoryview]:
        return [memoryview(data)]
    return body
