"""Reading the index.json of a layout in a directory."""
from occystrap_core.files import set_error_rule
from occystrap_core.oci import INDEX_FILE, MANIFEST_CAP, IndexFile
from occystrap_dir.workspace.known_file import KnownFile
from occystrap_dir.workspace.names import read_document

_INDEXES = KnownFile(INDEX_FILE, MANIFEST_CAP, IndexFile.parse)


def read_index(root: str, links: bool = False) -> IndexFile:
    """Return the index.json of a layout; with `links`, for sources only, links are followed.

    Raises InvalidImage, FileNotFoundError, another OSError.
    """
    with set_error_rule('index'):
        if links:
            return IndexFile.parse(read_document(root, INDEX_FILE, MANIFEST_CAP, links), f'{root}/{INDEX_FILE}')
        return _INDEXES.read(root).copy()
