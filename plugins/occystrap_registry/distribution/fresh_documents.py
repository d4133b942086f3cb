"""Documents that a run has just read to find an image, so that verification need not read them again."""
import threading
from collections import defaultdict
from typing import NamedTuple

from occystrap_core import Settings


class FreshDocument(NamedTuple):
    """The bytes of a manifest or a config, and the media type with which it was served."""

    raw: bytes
    served_as: str = ''


class FreshDocuments:
    """Documents of one host, by repository and tag or digest. Each replaces one request of a verifier.

    Whether the destination already has the source's image is found out from its documents, which verification would
    otherwise read again.
    """

    def __init__(self) -> None:
        self._documents: defaultdict[tuple[str, str], list[FreshDocument]] = defaultdict(list)
        self._lock = threading.Lock()

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'FreshDocuments':
        """Return the run's documents of `host[:port]`."""
        return settings.shared.get((FreshDocuments, host), FreshDocuments)

    def keep(self, repository: str, name: str, document: FreshDocument) -> None:
        """Keep a document that was just read under a tag or digest."""
        with self._lock:
            self._documents[repository, name].append(document)  # images checked in parallel may share it

    def take(self, repository: str, name: str) -> FreshDocument | None:
        """Return a document and forget it; None if it must be read."""
        with self._lock:
            found = self._documents.pop((repository, name), [])
            if rest := found[1:]:
                self._documents[repository, name] = rest
            return found[0] if found else None
