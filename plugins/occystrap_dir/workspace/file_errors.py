"""What all verifiers of this plugin have in common: what an error says of the thing that is looked at."""
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from occystrap_core import READ, CheckResults, Expectation, InvalidImage, Receipt, Settings
from occystrap_core.files import ByteStream, DeviceFile, ReadAhead
from occystrap_core.oci import Digest
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.names import WrongKind, file_size, read_document


def is_there(receipt: Receipt, results: CheckResults) -> bool:
    """Tell whether the directory that a receipt is of is there; note it if not."""
    if os.path.isdir(receipt.path):
        return True
    results.error(receipt.destination, 'there is no such directory')
    return False


@contextmanager
def reporting(expected: Expectation, results: CheckResults,
              tell_missing: Callable[[OSError], str] = lambda error: '') -> Iterator[None]:
    """Turn what comes up while one thing is looked at into an observation: only what could not be read is unreachable.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        results.missing(expected, tell_missing(error))
    except (WrongKind, InvalidImage) as error:
        results.differs(expected, str(error))
    except OSError as error:
        results.unreachable(expected, f'cannot be read: {error.strerror}')


def unknown(expected: Expectation, results: CheckResults) -> None:
    """Note that nobody here knows how to look at a thing, so that it is not proved."""
    results.unreachable(expected, 'this version does not know how to check it')


def report_document(expected: Expectation, root: str, results: CheckResults) -> None:
    """Read a small document whole, unless its size tells already that it is another; raises OSError, WrongKind."""
    size = file_size(root, expected.locator)
    if size == expected.size:
        results.read(expected, read_document(root, expected.locator, size))
    else:
        results.found(expected, size=size, evidence=READ)


def report_file(expected: Expectation, root: str, full: bool, settings: Settings, results: CheckResults) -> None:
    """Report a file's size, with `full` its digest as the device has it; raises OSError, WrongKind."""
    size = file_size(root, expected.locator)
    digest = device_digest(root, expected.locator, settings) if full and size == expected.size else None
    results.found(expected, size=size, digest=digest, evidence=READ)


def device_digest(root: str, name: str, settings: Settings) -> Digest:
    """Return the digest of a file as the device has it; raises OSError, and Cancelled when the run is to stop."""
    descriptor = Beneath(root).open(name)
    try:
        with ByteStream(ReadAhead(DeviceFile(f'/proc/self/fd/{descriptor}')), what=name) as stream:
            stream.observe(lambda count: settings.cancellation.check())
            return stream.drain()
    finally:
        os.close(descriptor)
