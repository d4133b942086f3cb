"""Cleaning up when writing fails: the writer is aborted once, and its unexplained errors name the destination."""
import errno
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.errors import Cancelled
from occystrap_core.files.durability import output_errors
from occystrap_core.layers.kept_layers import KeptLayers, kept_note, may_go_on

_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def writing_to(output: ImageOutput) -> AbstractContextManager[None]:
    """Turn an unexplained OSError of a writer into an OutputError."""
    return output_errors(str(output.location))


@contextmanager
def writing_layer_to(output: ImageOutput) -> Iterator[None]:
    """Turn an OSError that only writing raises into an OutputError; any other may be that of the source."""
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_WRITING:
            raise
        with writing_to(output):
            raise


class Abortion:
    """Aborts a writer once, whoever is first: the copy that failed, or the run that is stopped."""

    def __init__(self, output: ImageOutput) -> None:
        self._output = output
        self._lock = threading.Lock()
        self._done = False

    def abort(self, reason: BaseException) -> None:
        """Abort, or wait until another thread has done so. An exception of `abort`, and what is kept for the next run,
        are added to the reason; what an interrupted run keeps is summed up for all images.

        `abort` is called again only if a signal interrupted it.
        """
        with self._lock:
            if self._done:
                return
            self._done = True
            self._output.may_go_on = may_go_on(reason)
            try:
                self._output.abort()
                self._report_kept(reason)
            except (Exception, Cancelled) as error:
                reason.add_note(f'temporary files could not be removed: {error}')
            except BaseException:
                self._output.abort()
                raise

    def _report_kept(self, reason: BaseException) -> None:
        settings = self._output.settings
        if settings.cancellation.cancelled:
            settings.shared.get(KeptLayers, KeptLayers).add(self._output)
        elif note := kept_note(self._output):
            reason.add_note(note)
