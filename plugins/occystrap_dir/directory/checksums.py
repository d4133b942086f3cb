"""SHA256SUMS: digests of all files of a directory's images, as sha256sum(1) writes them and `sha256sum -c` reads them.

Like the catalog it changes with every image, so a receipt has the digest of that image's lines alone.
"""
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache

from occystrap_core import Expectation, InvalidImage, OutputError, Receipt
from occystrap_core.oci import SHA256, Digest
from occystrap_dir.directory.manifests import read_manifest
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.names import read_document
from occystrap_dir.workspace.one_name import WrongKind
from occystrap_dir.workspace.receipts import kept_receipt
from occystrap_dir.workspace.workspace import RECEIPTS

CHECKSUMS = 'SHA256SUMS'
_CAP = 64 << 20
_LINE = re.compile(r'(\\?)([0-9a-f]{64})  (.+)')
_OF_IMAGES = re.compile(r'manifest(-.+)?\.json|catalog\.json|[0-9a-f]{64}([0-9a-f]{64})?(\.json|/.+)')
_ESCAPES = {'\\': '\\\\', '\n': '\\n'}
_PLAIN = {escape: plain for plain, escape in _ESCAPES.items()}

Digests = Mapping[str, Digest]
"""Digests of files by their names within the directory."""


def keeps_checksums(root: str) -> bool:
    """Return whether a directory has the file, which is then updated; raises OutputError if it is a directory."""
    if Beneath(root).is_directory(CHECKSUMS):
        raise OutputError(f'{root}/{CHECKSUMS} is a directory, not a file of checksums: remove it')
    return Beneath(root).status(CHECKSUMS) is not None


def digests_of(receipt: Receipt, root: str) -> dict[str, Digest]:
    """Return the digests of an image's files from its receipt; a file with a digest of another kind is hashed.

    Raises OSError.
    """
    return {each.locator: each.digest if each.digest.algorithm == SHA256 else Beneath(root).hash(each.locator)[0]
            for each in receipt.of_kind('manifest', 'config', 'layer')}


def expected_checksums(receipt: Receipt, root: str) -> Expectation:
    """Return the expectation for SHA256SUMS: digest and size of the lines for this image's files."""
    lines = write_checksums(digests_of(receipt, root))
    return Expectation('checksums', CHECKSUMS, Digest.of(lines), len(lines))


def digests_of_others(root: str, manifests: Iterable[str]) -> dict[str, Digest]:
    """Return the digests of the files of other images in the directory, given the names of their manifests.

    They are taken from receipts or, for layers, from the present SHA256SUMS; only files in neither are hashed. Missing
    files, and names that lead out of the directory, are left out. Raises OSError.
    """
    found: dict[str, Digest] = {}
    for manifest in manifests:
        found.update(_attested(root, manifest) or _hashed(root, manifest))
    return found


def read_checksums(root: str) -> dict[str, Digest]:
    """Return the content of the file; raises InvalidImage if sha256sum would reject it, or a name is listed twice.

    Raises FileNotFoundError, another OSError.
    """
    found: dict[str, Digest] = {}
    *lines, rest = os.fsdecode(read_document(root, CHECKSUMS, _CAP)).split('\n')
    if rest or not lines:
        raise InvalidImage('does not end with a newline')
    for number, line in enumerate(lines, 1):
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise InvalidImage(f'line {number} is not a digest and a name')
        name = _unescaped(parts[3]) if parts[1] else parts[3]
        if name in found:
            raise InvalidImage(f'lists {name} twice')
        found[name] = Digest(f'sha256:{parts[2]}')
    return found


def lines_of_others(root: str) -> dict[str, Digest]:
    """Return the lines for files that belong to no image; raises OutputError if the file is damaged, OSError."""
    try:
        return {name: digest for name, digest in read_checksums(root).items() if not _OF_IMAGES.fullmatch(name)}
    except FileNotFoundError:
        return {}
    except InvalidImage as error:
        raise OutputError(f'{root}/{CHECKSUMS} {error}: it may list files that are not of this program, so it is not '
                          'replaced; repair it, or remove it and add checksums=true') from None


def write_checksums(digests: Digests) -> bytes:
    """Return the content of the file: a line for each name, sorted."""
    return b''.join(os.fsencode(_line(name, digest)) for name, digest in sorted(digests.items()))


def _attested(root: str, manifest: str) -> dict[str, Digest]:
    if found := Beneath(root).status(f'{RECEIPTS}/{manifest}'):
        return _receipt_digests(root, manifest, (found.st_ino, found.st_mtime_ns, found.st_size))
    return {}


@lru_cache(maxsize=4096)
def _receipt_digests(root: str, manifest: str, version: tuple[int, int, int]) -> dict[str, Digest]:
    """Return the digests in one version of a receipt; cached because many images go into one directory."""
    receipt = kept_receipt(root, manifest)
    return digests_of(receipt, root) if receipt else {}


def _hashed(root: str, manifest: str) -> dict[str, Digest]:
    """Return the digests of an image without a receipt."""
    known: dict[str, Digest] = {}
    with suppress(FileNotFoundError, InvalidImage):
        known = read_checksums(root)
    documents, layers = [manifest], list[str]()
    with suppress(FileNotFoundError, InvalidImage):
        for image in read_manifest(root, manifest):
            documents.append(image.config)
            layers += image.layers
    digests = {name: _hash(root, name) for name in documents}
    digests.update({name: known.get(name) or _hash(root, name) for name in layers})
    return {name: digest for name, digest in digests.items() if digest}


def _hash(root: str, name: str) -> Digest | None:
    """Return the digest of a file, None if there is none of that name within the directory; raises OSError."""
    try:
        return Beneath(root).hash(Beneath(root).resolved(name))[0]
    except (FileNotFoundError, WrongKind, InvalidImage):
        return None


def _line(name: str, digest: Digest) -> str:
    """Return one line; as in sha256sum, a backslash at its beginning means that the name has escapes."""
    escaped = ''.join(_ESCAPES.get(each, each) for each in name)
    return f'{"" if escaped == name else chr(92)}{digest.hex}  {escaped}\n'


def _unescaped(name: str) -> str:
    return re.sub(r'\\.', lambda found: _PLAIN.get(found[0], found[0]), name)
