"""Verifying mounts://: compares directories of layers with a receipt, independently of the writer."""
import os
import stat
from contextlib import suppress

from occystrap_core import READ, CheckResults, Expectation, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Digest, Reference
from occystrap_dir.extraction.privacy import check_privacy
from occystrap_dir.file_list.files_check import check_files
from occystrap_dir.mounts.layer_directories import listed_layer
from occystrap_dir.mounts.mount_files import (
    CAP, CATALOG, LAYERS, SCRIPT, TREES, USER_MARKS, MountCatalog, Mounted, directory_of, kept_name, tree_name,
)
from occystrap_dir.mounts.overlay_marks import mount_script
from occystrap_dir.workspace.file_errors import is_there, reporting, unknown
from occystrap_dir.workspace.locks import shared_if_exists
from occystrap_dir.workspace.names import file_size, read_document
from occystrap_dir.workspace.partial_files import STATE
from occystrap_dir.workspace.workspace import LOCK, RECEIPTS


def verify_mounts(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the directory has of what the receipt expects.

    FAST looks the image up in mount.json, and compares digests of the lists of files, and the directories of the layers
    with their lists; FULL also hashes the content of every file, read from the device.
    """
    results = CheckResults()
    if not is_there(receipt, results):
        return results
    full = level is VerifyLevel.FULL
    for found in settings.in_parallel(lambda each: _seen(each, receipt, full, settings), receipt.expectations):
        results.extend(found)
    kept = f'{RECEIPTS}/{kept_name(str(Reference.parse(receipt.reference).with_default_tag()))}'
    names = ['', CATALOG, SCRIPT, LAYERS, STATE, RECEIPTS, TREES, kept]
    with suppress(FileNotFoundError):
        check_privacy(receipt, LAYERS, [*names, *(each.locator for each in receipt.of_kind('files'))], results)
    return results


def _seen(expected: Expectation, receipt: Receipt, full: bool, settings: Settings) -> CheckResults:
    results = CheckResults()
    with reporting(expected, results, lambda error: 'is missing'):
        _check(expected, receipt, full, settings, results)
    return results


def _check(expected: Expectation, receipt: Receipt, full: bool, settings: Settings, results: CheckResults) -> None:
    root = receipt.path
    if expected.kind == 'mount':
        with shared_if_exists(root, LOCK):  # a run that adds an image changes several files
            _check_catalog(expected, receipt, results)
    elif expected.kind == 'layer':
        listed = listed_layer(root, expected.locator)
        if tree_name(expected.locator) not in {each.locator for each in receipt.of_kind('files')}:
            results.unreachable(expected, 'the receipt does not have the list of its files')
        elif listed is None:
            results.missing(expected, 'the list of its files is missing')
        else:
            results.found(expected, size=listed.size, digest=listed.diff_id, evidence=READ)
    elif expected.kind == 'files':
        check_files(expected, root, directory_of(expected.locator, receipt), full, settings, results)
    else:
        unknown(expected, results)


def _made_from(image: Mounted, root: str) -> list[Digest]:
    """Return the image ID and the diff_ids of the layers that have a readable list."""
    layers = [listed_layer(root, each) for each in image.layers]
    return [Digest(image.image_id), *(each.diff_id for each in layers if each)]


def _check_catalog(expected: Expectation, receipt: Receipt, results: CheckResults) -> None:
    """Find the image in mount.json, and check that mount.sh matches it."""
    root = receipt.path
    file_size(root, CATALOG)
    catalog = MountCatalog.parse(read_document(root, CATALOG, CAP), f'{root}/{CATALOG}')
    listed = [each for each in catalog.images.values() if Digest.of(each.canonical()) == expected.digest]
    if listed and expected.locator == CATALOG:
        results.read(expected, listed[0].canonical(), covers=_made_from(listed[0], root))
        if listed[0].directories != Mounted.of(receipt, '').directories:
            results.differs(expected, 'lists other layers than the receipt')
    else:
        results.missing(expected, 'does not list the image with these layers')
    script = mount_script(root, catalog, os.path.exists(f'{root}/{USER_MARKS}'))
    try:
        if read_document(root, SCRIPT, CAP) != script:
            results.error(SCRIPT, f'does not match {CATALOG}')
        elif not os.lstat(f'{root}/{SCRIPT}').st_mode & stat.S_IXUSR:  # not access(2): noexec is no damage
            results.error(SCRIPT, 'is not executable: chmod u+x')
    except FileNotFoundError:
        results.error(SCRIPT, 'is missing')
