"""What all verifiers of this plugin have in common: what an error says of the thing that is looked at."""
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from occystrap_core import (
    ByteStream, CheckResults, DeviceFile, Expectation, InvalidImage, ReadAhead, Receipt, Settings,
)
from occystrap_core.oci import Digest
from occystrap_dir.names import WrongKind


def is_there(receipt: Receipt, results: CheckResults) -> bool:
    """Tell whether the folder that a receipt is of is there; note it if not."""
    if os.path.isdir(receipt.path):
        return True
    results.error(receipt.destination, 'there is no such folder')
    return False


def missing(expected: Expectation, error: OSError) -> str:
    """Return what to say of a file that is not there."""
    return f'is missing, expected {expected.size} bytes'


@contextmanager
def findings_of(expected: Expectation, results: CheckResults,
                tell_missing: Callable[[Expectation, OSError], str] = missing) -> Iterator[None]:
    """Turn what comes up while one thing is looked at into a finding: only what could not be read is unverified."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        results.error(expected, tell_missing(expected, error))
    except (WrongKind, InvalidImage) as error:
        results.error(expected, str(error))
    except OSError as error:
        results.unverified(expected, f'cannot be read: {error.strerror}')


def unknown(expected: Expectation, results: CheckResults) -> None:
    """Note that nobody here knows how to look at a thing, so that it is not proved."""
    results.unverified(expected, 'this version does not know how to check it')


def device_digest(root: str, name: str, settings: Settings) -> Digest:
    """Return the digest of a file as the device has it; raises OSError, and Cancelled when the run is to stop."""
    with ByteStream(ReadAhead(DeviceFile(os.path.join(root, name))), what=name) as stream:
        stream.observe(lambda count: settings.cancellation.check())
        return stream.drain()
