"""A Dask cluster as its users run it: `dask scheduler` and `dask worker` processes, to kill and to stop."""
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.directories import service_directory
from tests.services.ports import LOOPBACK, free_port
from tests.services.processes import running
from tests.services.requirements import ServiceUnavailable

DASK = Path(sys.executable).with_name('dask')
_SETTINGS = {'DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT': '5s', 'DASK_DISTRIBUTED__WORKER__HTTP__ROUTES': '[]'}


@dataclass
class DaskCluster:
    """A scheduler and its workers, each a process of one thread; `directory` has their logs."""

    directory: Path
    environment: Mapping[str, str]
    port: int
    scheduler: 'subprocess.Popen[bytes]'
    stack: ExitStack
    host: str = LOOPBACK
    protocol: str = 'tcp'
    workers: list['subprocess.Popen[bytes]'] = field(default_factory=list)
    dashboard: str = ''

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return f'{self.protocol}://{self.host}:{self.port}'

    @property
    def executor(self) -> str:
        """The executor that uses it, with all workers that were started and run."""
        count = sum(each.poll() is None for each in self.workers)
        return f'dask:scheduler={self.address},workers={count},frozen=3'

    def add_worker(self, python: str = sys.executable, host: str = LOOPBACK, wrapper: tuple[str, ...] = (),
                   environment: Mapping[str, str] | None = None) -> 'subprocess.Popen[bytes]':
        """Start a worker, perhaps of another Python or environment, or under `wrapper` where this machine's address is
        `host`."""
        log = self.directory / f'worker-{len(self.workers)}'
        command = [*wrapper, python, '-m', 'dask', 'worker', self.address, '--nthreads', '1', '--no-nanny',
                   '--no-dashboard', '--host', f'{self.protocol}://{host}', '--local-directory', str(self.directory)]
        self.workers.append(self.stack.enter_context(running(
            command, log=log, ready=lambda: 'Registered to' in log.read_text(),
            environment=environment or self.environment)))
        return self.workers[-1]

    def tasks(self) -> int:
        """The number of tasks that the scheduler knows."""
        from distributed import Client  # late, as it takes a second
        with Client(self.address, set_as_default=False) as client:
            return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

    def queues(self) -> int:
        """The number of queues that the scheduler keeps."""
        from distributed import Client  # as above
        with Client(self.address, set_as_default=False) as client:
            return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.extensions['queues'].queues)))

    def logs(self) -> str:
        """What all of them wrote."""
        return ''.join(each.read_text() for each in [*self.directory.glob('worker-?'), self.directory / 'scheduler'])


@contextmanager
def dask_cluster(count: int, port: int = 0, host: str = LOOPBACK, protocol: str = 'tcp', dashboard: bool = False,
                 **variables: str) -> Iterator[DaskCluster]:
    """Run a cluster with so many workers, which have a home of their own and `variables`."""
    if not DASK.exists():
        raise ServiceUnavailable(f'{DASK} is missing: run tools/install')
    with service_directory('dask') as directory, ExitStack() as stack:
        kept = {name: value for name, value in os.environ.items() if not name.startswith('OCCYSTRAP_')}
        environment = {**kept, **_SETTINGS, 'HOME': str(directory), 'DOCKER_CONFIG': str(directory), **variables}
        log, port = directory / 'scheduler', port or free_port(host)
        pages = f'{LOOPBACK}:{free_port(LOOPBACK)}' if dashboard else ''
        scheduler = stack.enter_context(running(
            [str(DASK), 'scheduler', '--host', host, '--port', str(port), '--protocol', protocol,
             *(['--dashboard-address', pages] if dashboard else ['--no-dashboard'])],
            log=log, ready=lambda: 'Scheduler at' in log.read_text(), environment=environment))
        cluster = DaskCluster(directory, environment, port, scheduler, stack, host, protocol, dashboard=pages)
        for _ in range(count):
            cluster.add_worker()
        yield cluster
