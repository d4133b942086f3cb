"""What a registry with a profile keeps: blobs and manifests of its repositories."""
import hashlib
import json
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

Manifest = tuple[str, bytes]
"""Its media type and its bytes."""


def digest_of(data: bytes) -> str:
    """Return the SHA-256 digest."""
    return f'sha256:{hashlib.sha256(data).hexdigest()}'


@dataclass
class Repository:
    """The content of one repository; manifests by digest, `tags` are digests."""

    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def find(self, tag_or_digest: str) -> Manifest | None:
        """Return a manifest, None without it."""
        return self.manifests.get(self.tags.get(tag_or_digest, tag_or_digest))

    def put(self, tag_or_digest: str, manifest: Manifest) -> str:
        """Keep a manifest, under a tag unless it is named by its digest, which is returned."""
        digest = digest_of(manifest[1])
        self.manifests[digest] = manifest
        if ':' not in tag_or_digest:
            self.tags[tag_or_digest] = digest
        return digest

    def is_referenced(self, blob: str) -> bool:
        """Return whether a manifest has the blob."""
        return any(blob.encode() in raw for _, raw in self.manifests.values())

    def referrers(self, subject: str) -> list[dict[str, Any]]:
        """Return the descriptors of the manifests that refer to another."""
        found = []
        for digest, (kind, raw) in self.manifests.items():
            document = json.loads(raw)
            if (document.get('subject') or {}).get('digest') == subject:
                entry = {'mediaType': kind, 'digest': digest, 'size': len(raw),
                         'artifactType': document.get('artifactType') or document['config']['mediaType']}
                found.append({**entry, **{key: document[key] for key in ('annotations', ) if key in document}})
        return found

    def missing(self, raw: bytes, others: Container[str] = ()) -> list[str]:
        """Return the digests that a manifest or index names and neither the repository has nor, of blobs, `others`."""
        document = json.loads(raw)
        blobs = [*([document['config']] if 'config' in document else []), *(document.get('layers') or [])]
        children = document.get('manifests') or []
        return [each['digest'] for each in blobs
                if each['digest'] not in self.blobs and each['digest'] not in others] + [
            each['digest'] for each in children if each['digest'] not in self.manifests]


@dataclass
class Store:
    """All repositories, and the bytes of all blobs."""

    repositories: defaultdict[str, Repository] = field(default_factory=lambda: defaultdict(Repository))
    content: dict[str, bytes] = field(default_factory=dict)

    def share(self, other: 'Store') -> None:
        """Have what another store has."""
        self.repositories, self.content = other.repositories, other.content

    def put_blob(self, repository: str, data: bytes) -> str:
        """Keep a blob and return its digest."""
        digest = digest_of(data)
        self.content[digest] = data
        self.repositories[repository].blobs.add(digest)
        return digest

    def blob(self, repository: str, digest: str) -> bytes | None:
        """Return a blob that the repository has."""
        known = repository in self.repositories and digest in self.repositories[repository].blobs
        return self.content[digest] if known else None
