"""What is sent to a worker: an order, how to execute it, and its plan; plain values."""
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from occystrap_core.cancellation import Cancellation
from occystrap_core.errors import Cancelled, OccystrapError, ServiceUnavailable
from occystrap_core.name_memory import NameMemory
from occystrap_core.orders import ImageDone, ImageOrder, ImagePlan, plan_order, run_order, worker_name
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.version import __version__

_TRAVEL = ('jobs', 'sync', 'timeout', 'least_rate', 'retries', 'longest_wait', 'settle', 'rate_limit', 'ca_file',
           'replace_index', 'force', 'rebuild_index')
"""Fields of Settings that are the same on every worker. None of them is a secret or a directory of the client."""
_LASTING = 300.0
"""Seconds for which connections and logins are kept, so that changed logins are noticed."""


class WorkerOptions(NamedTuple):
    """The options of the run."""

    fields: tuple[tuple[str, Any], ...]
    """Fields of Settings."""
    verify: str
    names: int
    """Memory for names of entries, in bytes."""
    refresh: bool = True
    proofs: bool = False
    """Whether reports have each expectation with its observations."""
    version: str = __version__

    @classmethod
    def of(cls, settings: Settings, level: VerifyLevel, refresh: bool, proofs: bool, slots: int) -> 'WorkerOptions':
        """Return the options for workers with this number of slots in total, among which the rate limit of a host is
        divided."""
        shared = replace(settings, rate_limit=settings.rate_limit and settings.rate_limit / slots)
        fields = tuple((name, getattr(shared, name)) for name in _TRAVEL)
        return cls(fields, level.value, settings.names.most, refresh, proofs)


class Answer(NamedTuple):
    """The result of a worker."""

    result: ImagePlan | ImageDone
    worker: str
    """The worker's name, `MACHINE:PROCESS`."""
    kept: tuple[str, ...] = ()
    """If it was interrupted: lines on what is kept for the next run."""


@dataclass
class OrderWork:
    """A callable without arguments that, on a worker, plans the image of an order or, with a `plan`, copies it.

    `earlier` is a receipt of an earlier run; `brought` is as for `run_order`.
    """

    order: ImageOrder
    options: WorkerOptions
    earlier: str = ''
    plan: ImagePlan | None = None
    brought: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> Answer:
        """Return the result, which includes failures; raises nothing."""
        kept = list[str]()
        return Answer(self._result(kept), worker_name(), tuple(kept))

    def stop(self) -> None:
        """Interrupt the work, from any thread of the worker; if it has not begun yet, it ends at once."""
        self._cancellation.cancel()

    def _result(self, kept: list[str]) -> ImagePlan | ImageDone:
        if self.options.version != __version__:
            return ImageDone(self.order, error=OccystrapError(version_text(self.options.version)))
        try:
            settings = replace(_lasting.of(self.options), cancellation=self._cancellation)
            if self.plan:
                return run_order(self.order, settings, plan=self.plan, brought=self.brought, proofs=self.options.proofs)
            return plan_order(self.order, settings, self.earlier, self.options.refresh, self.options.proofs)
        except Cancelled as reason:
            kept += getattr(reason, '__notes__', ())
            return ImageDone(self.order, error=ServiceUnavailable('interrupted'))
        except OccystrapError as error:  # for example a damaged receipt
            return ImageDone(self.order, error=error)

    def __post_init__(self) -> None:
        self._cancellation = Cancellation()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the cancellation, since each process has its own."""
        return OrderWork, (self.order, self.options, self.earlier, self.plan, self.brought)


def version_text(client: str) -> str:
    """Return what to do about a worker of another version than the client's."""
    return f'worker {worker_name()} has occystrap-core {__version__}, this is {client}: install that version there'


class _Lasting:
    """The settings of this worker process: connections, tokens and facts about hosts are kept from image to image."""

    def __init__(self) -> None:
        self._lock, self._renewed = threading.Lock(), time.monotonic()

    def of(self, options: WorkerOptions) -> Settings:
        """Return the settings for the options of a run."""
        settings = _settings(options)
        with self._lock:
            if time.monotonic() - self._renewed > _LASTING:
                self._renewed = time.monotonic()
                settings.shared.close()
        return settings


_lasting = _Lasting()


@lru_cache(maxsize=2)
def _settings(options: WorkerOptions) -> Settings:
    return Settings(**dict(options.fields), verify=VerifyLevel(options.verify), names=NameMemory(options.names))
