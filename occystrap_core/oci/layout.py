"""The image layout: its files, and the images in its index.json (image-spec image-layout.md)."""
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from occystrap_core.errors import InvalidImage
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import dump_json, parse_object
from occystrap_core.oci.field_names import LAYOUT_FIELDS
from occystrap_core.oci.manifest import ATTESTED, Index
from occystrap_core.oci.named_images import UNTAGGED, Offer, parse_name
from occystrap_core.oci.reference import Reference

INDEX_FILE, LAYOUT_FILE = 'index.json', 'oci-layout'
REF_NAME = 'org.opencontainers.image.ref.name'
CONTAINERD_NAME = 'io.containerd.image.name'
BLOB_DIRECTORIES = ('blobs/sha256', 'blobs/sha512')
"""Where the blobs of a layout are, by the algorithms of their digests."""
LAYOUT_VERSION = dump_json({'imageLayoutVersion': '1.0.0'})
"""The content of a layout's file `oci-layout`."""

LEFT_OUT = 'occystrap.left-out'
"""An annotation of a delta's entry that lists the blobs which the delta leaves out.

It has `DIGEST=NAME` for each, separated by spaces. NAME is that of an image with the blob at the destination.
"""
_NAMES = (REF_NAME, CONTAINERD_NAME)
Entry = Mapping[str, Any]
"""A parsed entry of an index.json, with all its fields."""
LayoutEntries = Sequence[Descriptor]
"""The entries for one image in index.json: one, or several for different platforms."""


def blob_name(digest: Digest) -> str:
    """Return the path of a blob within the layout."""
    return f'blobs/{digest.algorithm}/{digest.hex}'


def require_version(raw: bytes, place: str) -> None:
    """Raise InvalidImage unless `raw`, the file `oci-layout`, says that `place` is a layout of a supported version."""
    version = parse_object(raw, f'{place}: {LAYOUT_FILE}', names=LAYOUT_FIELDS).get('imageLayoutVersion')
    if version != '1.0.0':
        raise InvalidImage(f'{place} has image layout version {version!r}, expected 1.0.0')


def layout_offers(entries: Sequence[Descriptor], unnamed: Reference = UNTAGGED,
                  with_platform: Callable[[Descriptor], Descriptor] = lambda entry: entry,
                  ) -> list[Offer[LayoutEntries]]:
    """Return the images that the entries of an index.json stand for.

    `unnamed` is the reference of an image without a name; a name that is only a tag is appended to it. `with_platform`
    returns an entry with its platform, for entries of one name that do not state it. Attestations belong to the image
    that they are about.
    """
    by_name: dict[str, list[Descriptor]] = {}
    for entry in entries:
        if not _attests(entry):
            by_name.setdefault(entry_name(entry), []).append(entry)
    offers = [offer for name, same in by_name.items()
              for offer in _offers(name, [*map(with_platform, same)] if name and len(same) > 1 else same, unnamed)]
    about = _attestations(entries)
    return [offer._replace(image=[*offer.image, *(each for digest in {entry.digest: None for entry in offer.image}
                                                  for each in about.get(digest, ()))]) for offer in offers]


def _attestations(entries: Sequence[Descriptor]) -> dict[str, list[Descriptor]]:
    """Return the entries of attestations, as BuildKit writes them, by the digest of what they are about."""
    found: dict[str, list[Descriptor]] = {}
    for entry in entries:
        if _attests(entry) and (subject := entry.annotations.get(ATTESTED)):
            found.setdefault(subject, []).append(entry)
    return found


def select_entry(image: LayoutEntries, whole: bool = False) -> Descriptor | Index:
    """Return the entry of an image, or an index of several entries; with `whole` an index also of one with
    attestations."""
    if len(image) == 1 or (not whole and sum(not _attests(entry) for entry in image) == 1):
        return image[0]
    return Index.build([_without_name(entry) for entry in image])


def entry_name(entry: Descriptor) -> str:
    """Return the name of an entry, from its annotations; empty if it has none."""
    return entry.annotations.get(CONTAINERD_NAME) or entry.annotations.get(REF_NAME) or ''


def _attests(entry: Descriptor) -> bool:
    """Return whether an entry is an attestation about an image."""
    return bool(entry.platform and entry.platform.os == 'unknown') or ATTESTED in entry.annotations


def _offers(name: str, entries: LayoutEntries, unnamed: Reference) -> Iterator[Offer[LayoutEntries]]:
    """Yield the entries of one name as one image if their platforms differ, otherwise each as an image of its own."""
    platforms = {entry.platform for entry in entries}
    together = None not in platforms and len(platforms) == len(entries)
    for image in [entries] if together else [[entry] for entry in entries]:
        yield Offer(image, {name: _reference(name, unnamed)} if name else {},
                    image[0].digest.hex if len(image) == 1 else '')


def _without_name(entry: Descriptor) -> Descriptor:
    kept = {key: value for key, value in entry.annotations.items() if key not in (REF_NAME, CONTAINERD_NAME)}
    return replace(entry, annotations=kept)


def _reference(name: str, unnamed: Reference) -> Reference:
    """Return a name as a reference, UNTAGGED if it is invalid; image-spec annotations.md also allows a tag alone."""
    is_tag = '/' not in name and ':' not in name
    found = parse_name(f'untagged:{name}' if is_tag else name)
    return unnamed._replace(tag=found.tag) if is_tag and found.tag else found


def named_entry(descriptor: Descriptor, name: str, left_out: Mapping[Digest, str] | None = None) -> Entry:
    """Return an entry for a manifest, with a name unless it is empty, and with the blobs that a delta leaves out."""
    entry = descriptor.to_json()
    annotations = {key: value for key, value in descriptor.annotations.items() if key not in (*_NAMES, LEFT_OUT)}
    if name:
        annotations[REF_NAME] = name
    if left_out:
        annotations[LEFT_OUT] = _left_out_text(left_out)
    return {**entry, 'annotations': annotations} if annotations else {
        key: value for key, value in entry.items() if key != 'annotations'}


def names_of(entry: Entry) -> set[str]:
    """Return the names of an entry; an empty one if it has none."""
    annotations = entry.get('annotations') or {}
    return {annotations[key] for key in _NAMES if annotations.get(key)} or {''}


def canonical(entry: Entry) -> bytes:
    """Return the bytes of an entry over which receipts have a digest; they do not depend on its formatting."""
    return json.dumps(entry, sort_keys=True, separators=(',', ':')).encode()


def _left_out_text(blobs: Mapping[Digest, str]) -> str:
    """Return the annotation for blobs that are left out, each with the name of an image that has it."""
    return ' '.join(f'{digest}={name}' for digest, name in sorted(blobs.items()))


def left_out_by(entries: Iterable[Descriptor]) -> dict[Digest, str]:
    """Return the blobs that these entries of a delta leave out; raises InvalidImage for a malformed annotation."""
    found: dict[Digest, str] = {}
    for entry in entries:
        for text in entry.annotations.get(LEFT_OUT, '').split():
            digest, equals, name = text.partition('=')
            if not equals:
                raise InvalidImage(f'the annotation {LEFT_OUT} has {text[:100]!r}, expected DIGEST=NAME')
            found.setdefault(Digest(digest), name)
    return found
