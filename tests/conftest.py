"""Fixtures: real services, started once per test process, and the command line.

A service that this machine lacks skips its tests; with OCCYSTRAP_REQUIRE_SERVICES=1 it fails them.
"""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Generator, NoReturn, TypeVar

import pytest

from tests import schedule
from tests.services import registry as registries
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.docker_daemon import docker_daemon as start_docker
from tests.services.faults import FaultProxy
from tests.services.faults import fault_proxy as start_fault_proxy
from tests.services.localstack import CREDENTIALS, ObjectStorage
from tests.services.localstack import object_storage as start_object_storage
from tests.services.nginx import nginx as start_nginx
from tests.services.podman import PodmanService, podman_service
from tests.services.processes import last_lines
from tests.services.real_image import RealImage
from tests.services.real_image import real_image as cached_real_image
from tests.services.real_image import real_registry as start_real_registry
from tests.services.registry import Registry
from tests.services.requirements import EVERYTHING, ServiceUnavailable, require_program
from tests.services.trixie import docker26_daemon as start_docker26

Service = TypeVar('Service')
StartRegistry = Callable[[], AbstractContextManager[Registry]]


@contextmanager
def require_service(start: Callable[[], AbstractContextManager[Service]]) -> Iterator[Service]:
    """Runs a service; where it cannot run, skips the test, or fails it if services are required."""
    with ExitStack() as stack:
        try:
            service = stack.enter_context(start())
        except ServiceUnavailable as reason:
            _skip_or_fail(str(reason))
        yield service


def _skip_or_fail(reason: str) -> NoReturn:
    if os.environ.get('OCCYSTRAP_REQUIRE_SERVICES') == '1':
        pytest.fail(f'a required service is missing: {reason}', pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """No certificates of the system's: reading them all takes longer than most tests, and no test needs them."""
    monkeypatch.setenv('SSL_CERT_FILE', os.devnull)


@pytest.fixture
def program() -> Callable[..., str]:
    """The path of a program that a test runs: `program('skopeo')`, `program('docker', 'docker.io')` by package."""
    def path(name: str, package: str = '') -> str:
        try:
            return require_program(name, package)
        except ServiceUnavailable as reason:
            _skip_or_fail(str(reason))
    return path


@pytest.fixture(scope='session')
def registry() -> Iterator[Registry]:
    """An open registry, empty at the start and shared: use repository names of your own."""
    with require_service(registries.plain_registry) as service:
        yield service


@pytest.fixture
def registry_factory() -> Iterator[Callable[..., Registry]]:
    """Starts registries for one test: `registry_factory()` an empty open one, `registry_factory(tls_registry)` …"""
    with ExitStack() as stack:
        def start(kind: StartRegistry = registries.plain_registry) -> Registry:
            return stack.enter_context(require_service(kind))
        yield start


@pytest.fixture
def fault_proxy() -> Iterator[Callable[..., FaultProxy]]:
    """Starts proxies for one test: `fault_proxy(registry.host, refused=0.05, latency=0.04)`, see `faults.Faults`."""
    with ExitStack() as stack:
        def start(upstream: str, **faults: Any) -> FaultProxy:
            return stack.enter_context(start_fault_proxy(upstream, **faults))
        yield start


@pytest.fixture
def nginx() -> Iterator[Callable[..., Registry]]:
    """Puts nginx before a registry for one test: `nginx(registry, client_max_body_size='1m')`, see `services.nginx`."""
    with ExitStack() as stack:
        def start(registry: Registry, **options: Any) -> Registry:
            return stack.enter_context(require_service(lambda: start_nginx(registry, **options)))
        yield start


@pytest.fixture(scope='session')
def private_registry() -> Iterator[Registry]:
    """A registry that requires its `user` and `password` for every request."""
    with require_service(registries.private_registry) as service:
        yield service


@pytest.fixture(scope='session')
def token_registry() -> Iterator[Registry]:
    """A registry with bearer tokens: anyone pulls, its `user` with its `password` pushes."""
    with require_service(registries.token_registry) as service:
        yield service


@pytest.fixture(scope='session')
def tls_registry() -> Iterator[Registry]:
    """An open registry over HTTPS; `ca` is the certificate to trust."""
    with require_service(registries.tls_registry) as service:
        yield service


@pytest.fixture(scope='session')
def running_object_storage() -> Iterator[ObjectStorage]:
    """An S3 server, for `object_storage`."""
    with require_service(start_object_storage) as service:
        yield service


@pytest.fixture
def object_storage(running_object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """An S3 server that the environment leads to, with credentials; shared: make buckets of your own."""
    for name, value in {**CREDENTIALS, 'AWS_ENDPOINT_URL': running_object_storage.endpoint}.items():
        monkeypatch.setenv(name, value)
    return running_object_storage


@pytest.fixture(scope='session')
def docker_daemon() -> Iterator[DockerDaemon]:
    """Docker 20.10, whose `docker save` has the legacy layout; shared: use image names of your own."""
    with require_service(start_docker) as service:
        yield service


@pytest.fixture(scope='session')
def docker26_daemon() -> Iterator[DockerDaemon]:
    """Docker 26.1, whose `docker save` has the OCI layout; shared: use image names of your own."""
    with require_service(start_docker26) as service:
        yield service


@pytest.fixture(scope='session')
def podman() -> Iterator[PodmanService]:
    """Podman behind Docker's API; shared: use image names of your own."""
    with require_service(podman_service) as service:
        yield service


@pytest.fixture(scope='session')
def real_image() -> Iterator[RealImage]:
    """The cached real image of 125 MB, or of 600 where all is tried; never change its files."""
    with require_service(lambda: nullcontext(cached_real_image())) as image:
        yield image


@pytest.fixture(scope='session')
def real_archive(real_image: RealImage) -> Path:
    """The real image as `docker save` of Docker 20.10 wrote it; shared by all runs: copy before you change."""
    return real_image.archive


@pytest.fixture(scope='session')
def docker_with_real_image(docker_daemon: DockerDaemon, real_archive: Path) -> DockerDaemon:
    """Docker 20.10 that has the real image as `real:v1`; leave it there."""
    docker_daemon.run('load', '-q', '-i', real_archive)
    return docker_daemon


@pytest.fixture(scope='session')
def real_registry() -> Iterator[Registry]:
    """A registry with `real:v1` and the index `multi:v1` on a storage copy; shared: who damages it, repairs it."""
    with require_service(start_real_registry) as service:
        yield service


@pytest.fixture
def occystrap(tmp_path: Path) -> CommandLine:
    """The command line: `occystrap('check', 'dir:…').assert_success().out`; it runs in `tmp_path`."""
    return CommandLine(tmp_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests into the order in which processes get them."""
    items.sort(key=lambda item: schedule.rank(item.nodeid))


def pytest_configure() -> None:
    """Give warnings of libraries a place to go, else it is the stderr of what runs in process; spare programs in Go."""
    logging.getLogger().addHandler(logging.NullHandler())
    if not EVERYTHING:  # a fifth of the time of daemons, registries and their clients is collecting garbage
        os.environ.update(GOGC='400', GOMAXPROCS='1')


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, whose work is a fifth of it, and finds nothing: items stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> schedule.Schedule | None:
    """Hand tests out as `schedule.py` has it, where `--dist loadgroup` asks for groups."""
    return schedule.Schedule(config, log) if config.getoption('dist') == 'loadgroup' else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the end of its services' logs to the report of a failed test."""
    report = yield
    used: dict[str, Any] = getattr(item, 'funcargs', {}) if report.failed else {}
    for name, service in used.items():
        log = getattr(service, 'log', None)
        if isinstance(log, Path) and log.exists():
            report.sections.append((f'end of the log of {name}', last_lines(log)))
    return report
