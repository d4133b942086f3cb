"""Documents that a run has just read from a registry in order to verify them."""
import threading
from collections import defaultdict
from typing import NamedTuple

from occystrap_core import Settings


class FreshDocument(NamedTuple):
    """The bytes of a manifest or a config, and the type that it was served with."""

    raw: bytes
    served_as: str = ''


class FreshDocuments:
    """Documents of one host by repository and tag or digest. Each stands for one request of a verifier, not for more.

    Whether the image under a name is the source's is seen in its documents; verifying it would read them once more.
    """

    def __init__(self) -> None:
        self._documents: defaultdict[tuple[str, str], list[FreshDocument]] = defaultdict(list)
        self._lock = threading.Lock()

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'FreshDocuments':
        """Return the run's documents of `host[:port]`."""
        return settings.shared.get((FreshDocuments, host), FreshDocuments)

    def keep(self, repository: str, name: str, document: FreshDocument) -> None:
        """Keep what was read under a tag or digest just now."""
        with self._lock:
            self._documents[repository, name].append(document)  # images that are looked at in parallel may share it

    def take(self, repository: str, name: str) -> FreshDocument | None:
        """Return a document and forget it; None if it is to be read."""
        with self._lock:
            found = self._documents.pop((repository, name), [])
            if rest := found[1:]:
                self._documents[repository, name] = rest
            return found[0] if found else None
