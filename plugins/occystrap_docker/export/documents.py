"""The JSON documents of an export by digest, and how an image's config is found from its ID."""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from occystrap_core import InvalidImage
from occystrap_core.oci import (
    ALGORITHMS, AMBIGUOUS, CONFIG_FIELDS, MANIFEST_FIELDS, Descriptor, Digest, ImageConfig, Manifest, Platform,
    parse_config, parse_manifest_or_index,
)

_TOTAL_CAP = 16 << 20
_FIELDS = CONFIG_FIELDS | MANIFEST_FIELDS
_KINDS = {'manifests', 'layers', 'config', 'rootfs', 'architecture', 'os'}
"""Fields of an index, a manifest, a config. Attestations and package lists are JSON too, have none of them, and may be
large."""


class Contained(NamedTuple):
    """An image whose documents are present, with the descriptor that refers to it, always with a platform."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig


class Documents:
    """Small documents of one image; those beyond a total limit are skipped."""

    def __init__(self) -> None:
        self._raw: dict[Digest, bytes] = {}
        self._total = 0
        self.trouble = ''
        """The error of the first invalid image that was skipped, else empty."""

    def add(self, raw: bytes) -> None:
        """Keep a document that may lead to an image under its actual digests, whatever its name was."""
        if _may_matter(raw) and self._total + len(raw) <= _TOTAL_CAP:
            self._total += len(raw)
            self._raw.update((Digest.of(raw, algorithm), raw) for algorithm in ALGORITHMS)

    def config(self, root: Digest, diff_ids: Sequence[Digest], platform: Platform | None) -> ImageConfig | None:
        """Return the config with these layers that `root` is, or refers to by a manifest or an index.

        None while it has not arrived. Of several with the same layers the best match for the platform is returned.
        Raises InvalidImage when the digest is that of a config with other layers.
        """
        matching = []
        for digest, document in self._below(root):
            if 'rootfs' not in document and (diff_ids or not _may_be_config(document)):
                continue
            config = ImageConfig.parse(self._raw[digest])
            if config.diff_ids == tuple(diff_ids):
                matching.append(config)
            elif digest == root:
                raise InvalidImage(f'the config {root} lists other layers than the daemon reports for the image')
        return min(matching, key=lambda config: distance(config, platform), default=None)

    def images(self, root: Digest) -> Iterator[Contained]:
        """Yield the images below a manifest or an index; those that are invalid or lack a document are skipped."""
        for entry in self._entries(root, set()):
            try:
                manifest = Manifest.parse(self._raw[entry.digest], entry.media_type, entry.digest.algorithm)
                found = manifest.config.digest
                config = ImageConfig.parse(self._raw[found], found.algorithm)
                listed = entry.platform
                platform = listed if listed and listed.os and listed.architecture else config.platform
            except KeyError:
                continue
            except InvalidImage as error:
                self.trouble = self.trouble or str(error)
                continue
            if manifest.is_image_with(config.raw) and len(manifest.layers) == len(config.diff_ids):
                yield Contained(replace(entry, platform=platform), manifest, config)

    def _entries(self, digest: Digest, seen: set[Digest]) -> Iterator[Descriptor]:
        """Yield the descriptors of the manifests below an index, or of the manifest itself."""
        if digest in seen or digest not in self._raw:
            return
        try:
            parsed = parse_manifest_or_index(self._raw[digest], algorithm=digest.algorithm)
        except InvalidImage as error:
            self.trouble = self.trouble or str(error)
            return
        if isinstance(parsed, Manifest):
            yield parsed.descriptor
            return
        seen.add(digest)
        for entry in parsed.manifests:
            for below in self._entries(entry.digest, seen):
                yield entry if below.digest == entry.digest else below

    def _below(self, root: Digest) -> Iterator[tuple[Digest, dict[str, Any]]]:
        """Yield the documents that can be reached from a digest, beginning with its own."""
        todo, seen = [root], set[Digest]()
        while todo:
            digest = todo.pop(0)
            if digest in seen or digest not in self._raw:
                continue
            seen.add(digest)
            document = parse_config(self._raw[digest], f'document {digest}', _FIELDS)
            yield digest, document
            manifests = document.get('manifests')
            entries = [document.get('config'), *(manifests if isinstance(manifests, list) else [])]
            todo += [Digest(entry['digest']) for entry in entries if isinstance(entry, dict) and 'digest' in entry]


def _may_be_config(document: dict[str, Any]) -> bool:
    """Return whether a document may be the config of an image without layers, which may have no rootfs."""
    return bool(document.get('architecture') or document.get('os')) and not {'layers', 'manifests'} & document.keys()


def _may_matter(raw: bytes) -> bool:
    """Return whether a document may lead to an image; an ambiguous one may, and is refused where it is used."""
    try:
        return bool(_KINDS & parse_config(raw, 'a document', _FIELDS).keys())
    except InvalidImage as error:
        return error.rule == AMBIGUOUS


def distance(config: ImageConfig, platform: Platform | None) -> int:
    """Return how well a config's platform matches: 0 if it is the same, 1 if it may be, 2 if not or not known."""
    try:
        found = config.platform
    except InvalidImage:
        return 2
    if platform is None or found == platform:
        return 0
    return 1 if found.may_be(platform) else 2
