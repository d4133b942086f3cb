"""Many images mirrored in parallel: all verified, shared layers transferred once, little memory, a bad network."""
import hashlib
import json
import os
from collections.abc import Callable
from functools import partial

import pytest

from occystrap_core.files import GZIP_END
from tests.functional.images import raw_manifest, skopeo
from tests.functional.many.mirroring import (
    AT_ONCE, DIRECTORY, assert_all_verified, assert_copied, counted, layer_reads, layers_in, mirror_at,
)
from tests.services.command_line import CommandLine, CommandResult
from tests.services.faults import FaultProxy
from tests.services.many_images import ManyImages
from tests.services.measured import run_measured
from tests.services.registry import PASSWORD, USER, Registry, token_registry

LOGIN = {'OCCYSTRAP_USERNAME': USER, 'OCCYSTRAP_PASSWORD': PASSWORD}
Proxies = Callable[..., FaultProxy]


def test_to_a_registry_every_layer_crosses_the_wire_once(
        many: ManyImages, many_source: Registry, destination: Registry, fault_proxy: Proxies,
        listed: Callable[[str], str], occystrap: CommandLine, program: Callable[..., str]) -> None:
    program('skopeo')
    source, target = fault_proxy(many_source.host), fault_proxy(destination.host)
    result = occystrap('process', listed(source.host), mirror_at(target.host), *AT_ONCE)
    assert_all_verified(result, many)
    assert_copied(many, destination)
    once = dict.fromkeys(many.uses(), 1)
    assert layer_reads(many, source) == once, 'read more than once'
    assert {digest: count for digest, count in target.blob_writes().items() if digest in once} == once
    for name in many.names[::len(many.names) // 4]:
        skopeo('copy', '--src-tls-verify=false', f'docker://{destination.host}/mirror/{name}',
               f'dir:{occystrap.directory}/{name.replace("/", "-")}')
        assert raw_manifest(destination, f'mirror/{name}') == many.read_blob(many.manifest_digest(name))


def test_to_a_directory_every_layer_crosses_the_wire_once(
        many: ManyImages, many_source: Registry, fault_proxy: Proxies, listed: Callable[[str], str],
        occystrap: CommandLine) -> None:
    source = fault_proxy(many_source.host)
    assert_all_verified(occystrap('process', listed(source.host), DIRECTORY, *AT_ONCE), many)
    assert layer_reads(many, source) == dict.fromkeys(many.uses(), 1)
    diff_ids = {digest for name in many.names for digest in
                json.loads(many.read_blob(many.manifest(name)['config']['digest']))['rootfs']['diff_ids']}
    assert layers_in(occystrap.directory / 'out') == diff_ids
    for path in (occystrap.directory / 'out').glob('*/layer.tar'):
        with path.open('rb') as file:
            assert hashlib.file_digest(file, 'sha256').hexdigest() == path.parent.name
    assert_all_verified(occystrap('verify', DIRECTORY.partition('?')[0], '--full', *AT_ONCE), many)


@pytest.mark.parametrize('kind', ['docker', 'oci'])
def test_to_archives_every_layer_crosses_the_wire_once(
        kind: str, many: ManyImages, many_source: Registry, fault_proxy: Proxies, listed: Callable[[str], str],
        occystrap: CommandLine) -> None:
    source = fault_proxy(many_source.host)
    target = 'tar://{name}-{tag}.tar?format=' + kind
    assert_all_verified(occystrap('process', listed(source.host), target, '--verify=full', *AT_ONCE), many)
    sizes = {layer['digest']: layer['size'] for name in many.names for layer in many.manifest(name)['layers']}
    hint = GZIP_END  # the bytes that hold the size of the tar, requested once for each archive
    for digest, read in source.bytes_read().items():
        if digest in sizes:
            assert sizes[digest] <= read <= sizes[digest] + hint * many.uses()[digest], f'{digest} read more than once'


@pytest.fixture
def bad_network(many: ManyImages, registry_factory: Callable[..., Registry], fault_proxy: Proxies,
                ) -> tuple[FaultProxy, FaultProxy, Registry]:
    """The set behind tokens and a proxy, a proxy before an empty registry with tokens, and that registry."""
    served = registry_factory(partial(token_registry, many.root))
    empty = registry_factory(token_registry)
    start = partial(fault_proxy, refused=0.05, cut=0.02, expires_after=2 * len(many.names), seed=1)
    return start(served.host), start(empty.host), empty


def assert_counts_agree(result: CommandResult, *proxies: FaultProxy) -> None:
    """Fail unless the summary counts what the proxies did.

    What is asked once whatever comes need not count: whether a host is there (`/v2/`), the end of a trial (DELETE).
    """
    faults = [each for proxy in proxies for each in [*proxy.faulty('refused'), *proxy.faulty('cut')]]
    limits = [each for each in faults if each.status == 429]
    others = [each for each in faults if each.status != 429]
    assert limits and others, 'the network was too good'
    for what, met in (('rate limit', limits), ('retry', others)):
        certain = [each for each in met if each.path != '/v2/' and each.method != 'DELETE']
        assert len(certain) <= counted(result, what) <= len(met), '\n'.join(map(str, [*met, result]))


def test_over_a_bad_network_all_arrive_and_the_summary_counts_what_happened(
        bad_network: tuple[FaultProxy, FaultProxy, Registry], many: ManyImages, listed: Callable[[str], str],
        occystrap: CommandLine) -> None:
    source, target, empty = bad_network
    result = occystrap('process', listed(source.host), mirror_at(target.host), *AT_ONCE, env=LOGIN)
    assert_all_verified(result, many)
    assert_copied(many, empty)
    assert source.faulty('expired') and target.faulty('expired'), 'no token ran out'
    assert_counts_agree(result, source, target)


def test_to_a_directory_over_a_bad_network(
        bad_network: tuple[FaultProxy, FaultProxy, Registry], many: ManyImages, listed: Callable[[str], str],
        occystrap: CommandLine) -> None:
    source = bad_network[0]
    result = occystrap('process', listed(source.host), DIRECTORY, *AT_ONCE, env=LOGIN)
    assert_all_verified(result, many)
    assert_counts_agree(result, source)
    assert_all_verified(occystrap('verify', 'dir://out', '--full'), many)


@pytest.mark.parametrize('to', ['registry', 'directory'])
def test_resident_memory_stays_small(to: str, many: ManyImages, many_source: Registry, destination: Registry,
                                     listed: Callable[[str], str], occystrap: CommandLine) -> None:
    target = mirror_at(destination.host) if to == 'registry' else DIRECTORY
    result, megabytes = run_measured(occystrap, 'process', listed(many_source.host), target, *AT_ONCE)
    assert_all_verified(result, many)
    print(f'\n{len(many.names)} images to a {to}: {megabytes:.0f} MB resident at most')
    assert megabytes < 250, os.sched_getaffinity(0)
