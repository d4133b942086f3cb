"""index.json, parsed once for the same bytes."""
import pytest

from occystrap_core import InvalidImage
from occystrap_core.oci import Descriptor, Digest, IndexFile, media_types, named_entry


def test_index_files_share_no_entries() -> None:
    raw = IndexFile.empty().to_json()
    one, other = IndexFile.parse(raw, 'x'), IndexFile.parse(raw, 'x')
    entry = named_entry(Descriptor(media_types.OCI_MANIFEST, Digest.of(b'x'), 1), 'v1')
    one.put(entry)
    assert one.named('v1') == [entry] and not other.entries and not IndexFile.parse(raw, 'x').entries


def test_every_failure_names_its_own_file() -> None:
    for name in ('x', 'y', 'x'):
        with pytest.raises(InvalidImage, match=f'^{name}'):
            IndexFile.parse(b'{"schemaVersion": 2, "manifests": 1}', name)
