"""Settings of a run: one object that every input, filter, writer and verifier gets."""
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, cast

from occystrap_core.cancellation import Cancellation
from occystrap_core.name_memory import NameMemory
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.platform import Platform, PlatformChoice

if TYPE_CHECKING:
    from occystrap_core.daemon_threads import DaemonThreads


class VerifyLevel(Enum):
    """NONE reads nothing back; FAST checks existence, sizes and small documents; FULL hashes every byte."""

    NONE = 'none'
    FAST = 'fast'
    FULL = 'full'


A = TypeVar('A')
B = TypeVar('B')
T = TypeVar('T')


class RequestStats:
    """Counters of network requests, and of the bytes of layers that were written or kept by an earlier run, shared by
    all threads of a run."""

    def __init__(self, requests: int = 0, retries: int = 0, rate_limits: int = 0) -> None:
        self.requests, self.retries, self.rate_limits = requests, retries, rate_limits
        self.bytes_moved = self.bytes_reused = 0
        self._hosts: dict[str, bool] = {}
        self._lock = threading.Lock()

    def count(self, requests: int = 0, retries: int = 0, rate_limits: int = 0, bytes_moved: int = 0,
              bytes_reused: int = 0) -> None:
        """Add to the counters."""
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.rate_limits += rate_limits
            self.bytes_moved += bytes_moved
            self.bytes_reused += bytes_reused

    def asked(self, host: str, refused: bool = False) -> None:
        """Record that a host was asked, and whether it refused because of too many requests."""
        with self._lock:
            self._hosts[host] = refused or self._hosts.get(host, False)

    def hosts(self) -> dict[str, bool]:
        """Return the hosts that were asked, each with whether it refused because of too many requests."""
        with self._lock:
            return dict(self._hosts)

    def counts(self) -> dict[str, int]:
        """Return the counters, by the names that `count` takes."""
        with self._lock:
            return {'requests': self.requests, 'retries': self.retries, 'rate_limits': self.rate_limits,
                    'bytes_moved': self.bytes_moved, 'bytes_reused': self.bytes_reused}


class Shared:
    """Objects that the parts of a run share, such as connections to a host: made once, closed at the end of the run."""

    def __init__(self, lasting: 'Shared | None' = None) -> None:
        """`lasting` has objects that other runs of this process share as well, and that its owner closes."""
        self._lasting = lasting
        self._entries: dict[Hashable, _Entry] = {}
        self._kept: dict[Hashable, _Entry] = {}
        self._made: list[Any] = []
        self._lock = threading.Lock()

    @property
    def lasting(self) -> 'Shared':
        """What is valid for longer than a run, such as connections, tokens and logins; by default this object itself.

        Facts about the content of a place must not be kept there: they may be outdated by the next run.
        """
        return self._lasting.lasting if self._lasting else self

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of `key`, made by `make` on first use; the key is a class, or a tuple that contains one.

        Called on any thread. Other callers with the same key wait until it is made; `make` may get other keys. An
        exception of `make` is raised, and the next caller tries again.
        """
        with self._lock:
            entry = self._entries.get(key) or self._entries.setdefault(key, _Entry())
        with entry.lock:
            if not entry.is_made:
                entry.thing, entry.is_made = make(), True
                with self._lock:
                    self._made.append(entry.thing)
            return cast(T, entry.thing)

    def keep(self, key: Hashable, thing: object) -> None:
        """Set the value of a key to an object that the caller owns: `close` neither closes nor forgets it."""
        with self._lock:
            self._kept[key] = self._entries[key] = _Entry(thing)

    def close(self) -> None:
        """Close all values that can be closed, the last made first; a value requested later is made again."""
        with self._lock:
            made, self._made, self._entries = self._made, [], {**self._kept}
        for thing in reversed(made):
            if callable(close := getattr(thing, 'close', None)):
                close()


class _Entry:
    """One shared value, None until it is made; the lock is held while it is made."""

    def __init__(self, thing: object = None) -> None:
        self.lock = threading.RLock()
        self.thing, self.is_made = thing, thing is not None


def default_jobs() -> int:
    """Return the default number of layers in parallel: three on small machines, one a core, up to eight, on larger
    ones."""
    return min(8, max(3, len(os.sched_getaffinity(0))))


def _temporary_directory() -> str:
    import tempfile  # late: the import takes milliseconds, and --help does not need it
    return tempfile.gettempdir()


@dataclass(frozen=True, eq=False, repr=False)
class Settings:
    """Settings of a run.

    `jobs`: layers in parallel, `images`: images in parallel. `sync`: flush to the device before anything becomes
    visible. `verify`: the level of verification, also for layers that a writer finds at the destination. `timeout`:
    seconds that a server may stay silent. `least_rate`: bytes of a body that it must send or take each second, averaged
    over `timeout`; 0 for no limit. `retries`: how often a failed request is tried again. `longest_wait`: most seconds
    between two attempts, whatever a server asks for. `settle`: seconds that a service gets to show what was just
    written to it, before that is an error; 0 if nothing was. `rate_limit`: requests a second to one host, None for no
    limit. `ca_file`: certificates of authorities to trust in addition to the system's. `login`: user and password from
    --username, for any server that needs them. `platform`: the platform to take of an index, None for this machine's;
    `platforms`: the choice of several or all of them, None for one. `whole_index`: an index is taken as a whole if no
    platform is chosen, since the destination holds indexes. `temporary`: directory for spooled data.
    `credentials`: user and password by host[:port], from URIs and options; kept in memory only, so that the verifier of
    the same run has them and no receipt does. `rebuild_index`: rebuild a damaged list of a destination's images, even
    if entries are lost. `replace_index`: a single image may replace an index of several. `force`: overwrite files that
    are not image archives, and replace unpacked files that were changed since. `names`: the memory for names of entries
    in layers that are searched, checked or filtered. `stdout_taken`: a JSON report goes to stdout, so nothing else may.
    `base`: the blobs that need not be written, since what is written goes to a place that has them (--since), each with
    the name of an image that it belongs to; None if everything is. `lane`: which of several destinations of a source
    this is for, each with worker threads of its own, so that none waits for a slow one. `bringer`: source,
    destination and list of an image as receipts name them (Bringer). `documents`: manifests and configs of the only
    image, by name or digest, each with the media type it was served with, which another process has read and an input
    need not read again; an input adds what it reads. None if they are not needed. `shared`: what plugins keep for the
    run.
    """

    jobs: int = field(default_factory=default_jobs)
    images: int = 1
    sync: bool = True
    verify: VerifyLevel = VerifyLevel.FAST
    timeout: float = 60.0
    least_rate: float = 1024.0
    retries: int = 4
    longest_wait: float = 60.0
    settle: float = 0.0
    rate_limit: float | None = None
    ca_file: str | None = None
    login: tuple[str, str] | None = field(default=None, repr=False)
    platform: Platform | None = None
    platforms: PlatformChoice | None = None
    whole_index: bool = False
    temporary: str = field(default_factory=_temporary_directory)
    replace_index: bool = False
    force: bool = False
    debug: bool = False
    rebuild_index: bool = False
    stdout_taken: bool = False
    base: Mapping[Digest, str] | None = None
    lane: int = 0
    bringer: tuple[str, str, str] | None = None
    documents: dict[str, tuple[bytes, str]] | None = field(default=None, repr=False)
    credentials: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    requests: RequestStats = field(default_factory=RequestStats)
    cancellation: Cancellation = field(default_factory=Cancellation)
    names: NameMemory = field(default_factory=NameMemory, repr=False, compare=False)
    shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    def in_parallel(self, work: Callable[[A], B], items: Iterable[A], *, helping: bool = False) -> list[B]:
        """Return the result of `work` for each item, in order, computed on the `jobs` worker threads of the run.

        For verifying, hashing and requests; it has precedence over layers still to be copied. `helping`: the calling
        thread takes part, so that small requests never wait for a layer. Other callers only wait, unless they are
        worker threads themselves; they must hold no lock that `work` needs. Raises the exception of the first item that
        failed, after which no further item is begun, and Cancelled.
        """
        from occystrap_core.parallel_work import in_parallel
        return in_parallel(self.workers(), work, items, self.cancellation.check, helping)

    def workers(self) -> 'DaemonThreads':
        """Return the run's `jobs` worker threads for a destination, which all its images share; for the core."""
        from occystrap_core.daemon_threads import DaemonThreads  # late: --help needs no threads
        return self.shared.get((DaemonThreads, self.lane), lambda: DaemonThreads(
            self.jobs, 'worker', first=len(os.sched_getaffinity(0))))

    def platform_choice(self, option: str | None) -> PlatformChoice | None:
        """Return what to take of an index, by a scheme's option or else for the whole run.

        If neither is given that is everything for destinations that hold indexes, otherwise None. Raises UsageError for
        an option that names no platform.
        """
        if option:
            return PlatformChoice.parse(option)
        if self.platform:
            return PlatformChoice((self.platform,))
        return self.platforms or (PlatformChoice() if self.whole_index else None)

    def settled(self) -> 'Settings':
        """Return these settings for looking at what was written long ago, without time to settle."""
        return replace(self, settle=0.0)

    def for_cleanup(self) -> 'Settings':
        """Return these settings for removing what is temporary, which must go on after a signal."""
        return replace(self, cancellation=Cancellation())

    def with_jobs(self, jobs: int) -> 'Settings':
        """Return these settings with another number of layers in parallel."""
        return replace(self, jobs=jobs)

    def choosing(self, platforms: str | None) -> 'Settings':
        """Return these settings with the given choice of platforms, as users write it, if any; raises UsageError."""
        if platforms is None:
            return self
        choice = PlatformChoice.parse(platforms)
        return replace(self, platform=choice.one, platforms=None if choice.one else choice)
