"""Deletes tags and manifests downstream, if the proxy may; it then forgets them as well."""
from occystrap_core import ImageNotFound, UsageError
from occystrap_core.oci import Digest
from occystrap_registry.proxy.image_orders import ImageOrders
from occystrap_registry.proxy.known_digests import KnownDigests
from occystrap_registry.proxy.remote import Remote
from occystrap_registry.server.problems import Problem

_PATIENCE = 10.0
"""Seconds to wait until an image has been copied."""


class Deletions:
    """Deletes images; methods raise Problem, and OccystrapError for failures of downstream."""

    def __init__(self, downstream: Remote, known: KnownDigests, orders: ImageOrders, is_allowed: bool) -> None:
        self._downstream, self._known, self._orders, self._is_allowed = downstream, known, orders, is_allowed

    def delete(self, repository: str, reference: Digest | str) -> None:
        """Delete a tag, or a manifest with all its tags, while no image is copied to that name.

        It is forgotten when it is gone, also if another client has deleted it. A copy from upstream is forgotten
        before: if no answer comes, or the proxy is killed, it is fetched again.
        """
        if not self._is_allowed:
            raise refused('a proxy deletes nothing unless it is started with --delete')
        named = f'{"@" if isinstance(reference, Digest) else ":"}{reference}'
        with self._orders.alone(f'{self._downstream.full_name(repository)}{named}', _PATIENCE):
            self._known.forget_copy(repository, reference)
            try:
                self._downstream.delete(repository, reference)
            except UsageError as error:
                raise refused(str(error)) from None
            except ImageNotFound as error:
                self._known.forget(repository, reference)
                raise self._missing(repository, reference, error) from None
            self._known.forget(repository, reference)

    def _missing(self, repository: str, reference: Digest | str, error: ImageNotFound) -> ImageNotFound:
        """Return the error; if the image has another digest after its filters, the error names that."""
        stored = self._known.stored_for(repository, reference) if isinstance(reference, Digest) else None
        return error if stored in (None, reference) else ImageNotFound(
            f'{repository}@{reference} was filtered, and is {stored} now')


def refused(reason: str) -> Problem:
    """Return the answer to DELETE if deleting is not supported (distribution-spec, Content Management)."""
    return Problem(405, 'UNSUPPORTED', f'{reason}: delete it downstream', {'Allow': 'GET, HEAD, PUT'})
