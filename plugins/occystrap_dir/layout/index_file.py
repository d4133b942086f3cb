"""Reading the index.json of a layout in a directory."""
from occystrap_core.files import set_error_rule
from occystrap_core.oci import INDEX_FILE, MANIFEST_CAP, IndexFile
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.known_file import KnownFile
from occystrap_dir.workspace.names import read_document

_INDEXES = KnownFile(INDEX_FILE, MANIFEST_CAP, IndexFile.parse)


def read_index(root: str) -> IndexFile:
    """Return the index.json of a layout; raises InvalidImage, FileNotFoundError, another OSError."""
    with set_error_rule('index'):
        return _INDEXES.read(root).copy()


def read_source_index(root: str) -> IndexFile:
    """Return the index.json of a source, following links; it must not be changed. Raises as `read_index` does.

    The same object is returned as long as the file is unchanged and not a link.
    """
    with set_error_rule('index'):
        if Beneath(root).resolved(INDEX_FILE) == INDEX_FILE:
            return _INDEXES.read(root)
        return IndexFile.parse(read_document(root, INDEX_FILE, MANIFEST_CAP, links=True), f'{root}/{INDEX_FILE}')
