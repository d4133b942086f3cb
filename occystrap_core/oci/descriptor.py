"""Descriptors: media type, digest and size of a blob (image-spec descriptor.md)."""
from collections.abc import Mapping
from dataclasses import dataclass, field as dataclass_field
from typing import Any, Self

from occystrap_core.errors import DigestMismatch, InvalidImage, SizeMismatch
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import LARGEST, required_field
from occystrap_core.oci.platform import Platform


@dataclass(frozen=True)
class Descriptor:
    """Refers to a blob: `size` in bytes; `urls` are other places that have it, too."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = dataclass_field(default_factory=dict, compare=False)
    artifact_type: str = dataclass_field(default='', compare=False)
    """For a manifest of an artifact: the artifact's type."""

    @classmethod
    def from_json(cls, document: object, what: str) -> Self:
        """Return the descriptor in a parsed document; raises InvalidImage, naming `what`, if it is malformed.

        A missing media type is read as an empty one, as by programs in Go. Data in a descriptor must be the blob's.
        """
        if not isinstance(document, dict):
            raise InvalidImage(f'{what}: a descriptor is not a JSON object')
        size = required_field(document, 'size', int, what)
        if not 0 <= size <= LARGEST:
            raise InvalidImage(f'{what}: a descriptor has the invalid size {str(size)[:30]}')
        platform = document.get('platform')
        urls, annotations = document.get('urls') or (), document.get('annotations') or {}
        kind = document.get('artifactType') or ''
        if not isinstance(urls, (list, tuple)) or not isinstance(annotations, dict) or not all(
                isinstance(each, str) for each in (*urls, *annotations.values(), kind)):
            raise InvalidImage(f'{what}: a descriptor has malformed urls, annotations or artifactType')
        digest = Digest(document.get('digest'))
        if (data := document.get('data')) not in (None, ''):
            _require_same_data(data, digest, size, what)
        media_type = document.get('mediaType')
        if media_type is not None:
            required_field(document, 'mediaType', str, what)
        return cls(media_type or '', digest, size,
                   Platform.from_json(platform, what) if isinstance(platform, dict) else None,
                   tuple(urls), annotations, kind)

    def checked(self, raw: bytes, what: str) -> bytes:
        """Return `raw`, a small blob in memory; raises DigestMismatch or SizeMismatch if it is not the described one.
        """
        digest = Digest.of(raw, self.digest.algorithm)
        if digest == self.digest and len(raw) == self.size:
            return raw
        kind = DigestMismatch if digest != self.digest else SizeMismatch
        raise kind(f'{what} has digest {digest} and {len(raw)} bytes, expected {self.digest} and {self.size}')

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as a JSON object, fields in the order of the spec."""
        document: dict[str, Any] = {'mediaType': self.media_type, 'digest': str(self.digest), 'size': self.size}
        if self.urls:
            document['urls'] = list(self.urls)
        if self.annotations:
            document['annotations'] = dict(self.annotations)
        if self.platform:
            document['platform'] = self.platform.to_json()
        if self.artifact_type:
            document['artifactType'] = self.artifact_type
        return document


def _require_same_data(data: object, digest: Digest, size: int, what: str) -> None:
    """Raise InvalidImage unless `data`, in base64, is the described blob, which some programs then do not read."""
    import base64  # late, as descriptors hardly ever have data
    import binascii
    try:
        if not isinstance(data, str):
            raise ValueError
        embedded = base64.b64decode(data.replace('\n', '').replace('\r', ''), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidImage(f'{what}: the data in the descriptor of {digest} are not base64') from None
    if len(embedded) != size or Digest.of(embedded, digest.algorithm) != digest:
        raise InvalidImage(f'{what}: the data in the descriptor of {digest} have another digest, and programs may use '
                           'either', 'descriptor-data')
