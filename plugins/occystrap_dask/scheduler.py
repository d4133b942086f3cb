"""The connection to a scheduler, which is given up when it is silent for too long."""
import logging
import threading
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress

import distributed

from occystrap_core import OccystrapError, ServiceUnavailable
from occystrap_dask.worker_probe import error_text

PATIENCE = 60.0
"""After so many seconds without an answer the scheduler is given up."""
_LOOK = 0.1
_AT_WORK = ('running', 'paused')
"""The states of workers that can be used; one that is being retired interrupts its work."""
_GONE = (OSError, CancelledError, distributed.client.ClosedClientError, ServiceUnavailable)
"""Exceptions that are raised if the scheduler or a worker is gone."""


class Scheduler:
    """A scheduler, and the client that is connected to it."""

    def __init__(self, address: str, seconds: float) -> None:
        """Connect within so many seconds; raises ServiceUnavailable."""
        self.address = address
        for name in ('distributed', 'distributed.client', 'distributed.core', 'tornado', 'asyncio'):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # errors are reported in one line of our own
        warnings.simplefilter('ignore', distributed.versions.VersionMismatchWarning)  # of packages that are not used
        self.client = _connected(address, seconds)

    @property
    def is_connected(self) -> bool:
        """Whether the client is connected."""
        return bool(self.client.status == 'running')

    def workers(self) -> Mapping[str, float]:
        """Return the addresses of the workers that can be used, each with the scheduler's time of its last heartbeat.

        Raises ServiceUnavailable if the scheduler is gone, or does not answer.
        """
        try:
            told = self.client.sync(self.client.scheduler.identity, n_workers=-1, callback_timeout=PATIENCE)
        except TimeoutError:
            raise ServiceUnavailable(f'the Dask scheduler {self.address} has not answered for {PATIENCE:g} s: start it '
                                     'again, and go on with --resume') from None
        except _GONE:
            raise self.gone() from None
        if not self.is_connected:
            raise self.gone()
        return {worker: each['last_seen'] for worker, each in told['workers'].items() if each['status'] in _AT_WORK}

    def gone(self) -> ServiceUnavailable:
        """Return the error for a scheduler that is gone."""
        return ServiceUnavailable(f'the Dask scheduler {self.address} is gone: start it again, and go on with '
                                  '--resume')

    def without_workers(self) -> ServiceUnavailable:
        """Return the error for a scheduler that has no worker from the start."""
        return ServiceUnavailable(f'the Dask scheduler {self.address} has no worker that can be used: start some with '
                                  f'dask worker {self.address} --nthreads 1')

    def abandoned(self) -> ServiceUnavailable:
        """Return the error for a scheduler that has no worker any more."""
        return ServiceUnavailable(f'no worker is left at the Dask scheduler {self.address}: start some, and go on with '
                                  '--resume')

    def error_of(self, error: Exception) -> OccystrapError:
        """Return the error that ends the run for a failure of the connection, or one that is not the scheduler's."""
        if isinstance(error, ServiceUnavailable):
            return error
        if isinstance(error, _GONE) or not self.is_connected:
            return self.gone()
        return OccystrapError(f'executor dask: unexpected {type(error).__name__}: {error_text(error)}; report this, '
                              'and go on with --resume')

    def close(self) -> None:
        """Disconnect."""
        with suppress(Exception):  # the scheduler may be gone
            self.client.close(timeout=1)


def _connected(address: str, seconds: float) -> 'distributed.Client':
    """Return a client that is connected; raises ServiceUnavailable."""
    made: Future[distributed.Client] = Future()
    threading.Thread(target=_connect, args=(address, seconds, made), name='connect', daemon=True).start()
    until = time.monotonic() + seconds + 1
    while not made.done() and time.monotonic() < until:  # in short waits, which a signal can end
        with suppress(TimeoutError):
            made.exception(_LOOK)
    try:
        return made.result(0)
    except TypeError:  # Dask raises this without certificates
        raise ServiceUnavailable(f'{address} needs certificates, and there are none: set distributed.comm.tls.ca-file, '
                                 "and cert and key of distributed.comm.tls.client, in Dask's configuration") from None
    except Exception as error:  # whatever is at that address
        reason = error_text(error) if made.done() else f'no answer within {seconds:g} s'
        raise ServiceUnavailable(f'no Dask scheduler answers at {address}: {reason}; start one with '
                                 'dask scheduler') from None


def _connect(address: str, seconds: float, made: 'Future[distributed.Client]') -> None:
    """Connect on a thread of its own: Dask's own limit does not end everything that it waits for."""
    try:
        made.set_result(distributed.Client(address, set_as_default=False, timeout=seconds))
    except BaseException as error:
        made.set_exception(error)
