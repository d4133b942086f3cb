"""Referrers, such as signatures, that an image gets upstream after it was copied."""
import threading
import time
from collections.abc import Callable

from occystrap_core import OccystrapError
from occystrap_core.files import print_message
from occystrap_core.oci import Digest
from occystrap_registry.proxy.remote import Remote

_MOST = 10_000
"""Limit of images whose last request for referrers is remembered."""


class UpstreamReferrers:
    """Copies new referrers of images, asking upstream once in `fresh` seconds for each image; for several threads."""

    def __init__(self, downstream: Remote, upstream: Remote, fresh: float, copy: Callable[[str, Digest], object],
                 ) -> None:
        """`copy` copies an image of a repository, given its digest, with all its referrers."""
        self._downstream, self._upstream, self._fresh, self._copy = downstream, upstream, fresh, copy
        self._asked: dict[tuple[str, Digest], float] = {}
        self._lock = threading.Lock()

    def follow(self, repository: str, subject: Digest) -> None:
        """Copy those that downstream lacks; a failure is logged, and those downstream are used."""
        if not self._is_due(repository, subject):
            return
        try:
            known = {each.digest for each in self._downstream.referrers(repository, subject)}
            if any(each.digest not in known for each in self._upstream.referrers(repository, subject)):
                self._copy(repository, subject)
        except OccystrapError as error:
            print_message(f'occystrap: warning: the referrers of {repository}@{subject} are those downstream, since '
                          f'those upstream cannot be copied: {error}')

    def _is_due(self, repository: str, subject: Digest) -> bool:
        with self._lock:
            now, key = time.monotonic(), (repository, subject)
            if now - self._asked.get(key, float('-inf')) < self._fresh:
                return False
            if len(self._asked) >= _MOST:
                self._asked = {each: asked for each, asked in self._asked.items() if now - asked < self._fresh}
            if len(self._asked) < _MOST:
                self._asked[key] = now
            return True
