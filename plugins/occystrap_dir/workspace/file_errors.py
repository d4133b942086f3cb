"""Shared by the verifiers of this plugin: reading files, and turning errors into observations."""
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from occystrap_core import READ, CheckResults, Expectation, InvalidImage, Receipt, Settings
from occystrap_core.files import MAGIC_SIZE, ByteStream, DeviceFile, ReadAhead, detect_compression, inflated_stream
from occystrap_core.oci import Compression, Digest
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.names import file_size, read_document
from occystrap_dir.workspace.one_name import WrongKind


def is_there(receipt: Receipt, results: CheckResults) -> bool:
    """Return whether the directory of a receipt exists; report what is wrong if it does not, or cannot be reached."""
    try:
        if stat.S_ISDIR(os.stat(receipt.path).st_mode):
            return True
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        for each in receipt.expectations:
            results.unreachable(each, f'{receipt.path} cannot be read: {error.strerror}')
        return False
    results.error(receipt.destination, 'there is no such directory')
    return False


@contextmanager
def reporting(expected: Expectation, results: CheckResults,
              explain_missing: Callable[[OSError], str] = lambda error: '') -> Iterator[None]:
    """Turn errors of the with block, which reads one expected thing, into observations.

    Missing files are missing, wrong kinds and contents differ, and only what could not be read is unreachable.
    `explain_missing` returns the reason to report for a missing file.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        results.missing(expected, explain_missing(error))
    except (WrongKind, InvalidImage) as error:
        results.differs(expected, str(error))
    except OSError as error:
        results.unreachable(expected, f'cannot be read: {error.strerror}')


def unknown(expected: Expectation, results: CheckResults) -> None:
    """Report that this version cannot check an expectation, so that it is not proved."""
    results.unreachable(expected, 'this version does not know how to check it')


def report_document(expected: Expectation, root: str, results: CheckResults) -> None:
    """Read a small document and report it, or only its size if that differs; raises OSError, WrongKind."""
    size = file_size(root, expected.locator)
    if size == expected.size:
        results.read(expected, read_document(root, expected.locator, size))
    else:
        results.found(expected, size=size, evidence=READ)


def report_file(expected: Expectation, root: str, full: bool, settings: Settings, results: CheckResults, name: str = '',
                ) -> None:
    """Report a file's size, and with `full`, or if its size is unknown, also its digest, read from the device.

    `name` is that of the file, if not the locator. Raises OSError, WrongKind.
    """
    name = name or expected.locator
    size = file_size(root, name)
    digest = None
    if expected.has_unknown_size or full and size == expected.size:
        digest = device_digest(root, name, settings, expected.digest.algorithm)
    results.found(expected, size=size, digest=digest, evidence=READ)


def report_tar(expected: Expectation, root: str, full: bool, settings: Settings, results: CheckResults, name: str,
               ) -> None:
    """Report the tar of a layer as `report_file` does; of a compressed one report the size and digest of its content.

    Raises InvalidImage if the content is longer than expected, or damaged.
    """
    descriptor = Beneath(root).open(name)
    try:
        if detect_compression(os.pread(descriptor, MAGIC_SIZE, 0)) is Compression.NONE:
            report_file(expected, root, full, settings, results, name)
            return
        size = None if expected.has_unknown_size else expected.size
        with inflated_stream(DeviceFile(f'/proc/self/fd/{descriptor}'), name, size, expected.digest.algorithm) as tar:
            tar.observe(lambda count: settings.cancellation.check())
            results.found(expected, digest=tar.drain(), size=tar.size, evidence=READ)
    finally:
        os.close(descriptor)


def device_digest(root: str, name: str, settings: Settings, algorithm: str) -> Digest:
    """Return the digest of a file, read from the device; raises OSError, and Cancelled when the run is cancelled."""
    descriptor = Beneath(root).open(name)
    try:
        with ByteStream(ReadAhead(DeviceFile(f'/proc/self/fd/{descriptor}')), what=name,
                        algorithm=algorithm) as stream:
            stream.observe(lambda count: settings.cancellation.check())
            return stream.drain()
    finally:
        os.close(descriptor)
