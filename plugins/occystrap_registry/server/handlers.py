"""Handlers for the requests of a registry, except uploads: by default from its own storage, in a proxy from other
registries."""
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from occystrap_registry.server import blob_requests, manifest_requests
from occystrap_registry.server.warm_answers import SMALL, quick

Handler = Callable[[Request], Response | Awaitable[Response]]


class Handlers(NamedTuple):
    """One for each kind of request."""

    catalog: Handler = manifest_requests.catalog
    list_tags: Handler = manifest_requests.list_tags
    list_referrers: Handler = manifest_requests.list_referrers
    get_manifest: Handler = quick(manifest_requests.get_manifest, SMALL)
    put_manifest: Handler = manifest_requests.put_manifest
    delete_manifest: Handler = manifest_requests.delete_manifest
    head_blob: Handler = quick(blob_requests.head_blob)
    get_blob: Handler = quick(blob_requests.get_blob)
    delete_blob: Handler = blob_requests.delete_blob
