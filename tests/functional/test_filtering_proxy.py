"""occystrap as the client of a proxy that filters: nothing counts as arrived that is another image."""
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.functional.archives import write_docker_archive
from tests.services.command_line import CommandLine
from tests.services.proxied import Proxied, proxied
from tests.unit.registry.images import HTTP, index_of, push, put_manifest

FILTER = 'normalize-timestamps'


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxied]:
    with proxied(tmp_path, [FILTER]) as running:
        yield running


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_docker_archive(tmp_path / 'app.tar', sample_config(), sample_layers(), 'app:v1')


def test_another_image_is_an_error(occystrap: CommandLine, proxy: Proxied, archive: Path) -> None:
    """The receipt says what was sent, and that is not there: one line tells what is, and what to do."""
    done = occystrap('process', f'tar://{archive}', f'registry://{proxy.host}/app:v1').assert_code(1)
    stored = proxy.manifest('app').headers['docker-content-digest']
    line, = (each for each in done.errors if 'error' in each or 'failed' in each)
    assert f'{proxy.host}/app:v1: this proxy filters images: it stored {stored} instead of sha256:' in line
    assert "the proxy's filters (-f)" in line and 'verified' not in done.out


def test_with_the_same_filters_it_is_proved(occystrap: CommandLine, proxy: Proxied, archive: Path, tmp_path: Path,
                                            ) -> None:
    """The proxy has nothing to change then, and what is behind it can be verified from the receipt."""
    target = f'registry://{proxy.host}/app:v1'
    occystrap('process', f'tar://{archive}', target, '-f', FILTER, '--receipt', tmp_path / 'receipts', '--verify=full'
              ).assert_success()
    occystrap('verify', tmp_path / 'receipts', '--verify=full').assert_success()
    stored = proxy.manifest('app').headers['docker-content-digest']
    assert proxy.down.storage.tagged('mirror/app', 'v1') == stored == json.loads(
        (tmp_path / 'receipts').read_text().splitlines()[0])['manifest_digest']


def test_unproved_if_nobody_wants_proof(occystrap: CommandLine, proxy: Proxied, archive: Path) -> None:
    done = occystrap('process', f'tar://{archive}', f'registry://{proxy.host}/app:v1', '--no-verify')
    done.assert_success()
    assert 'this proxy filters images' in done.err and ' verified' not in done.out
    assert proxy.manifest('app').status_code == 200


def test_of_an_index_no_tag_is_set(occystrap: CommandLine, proxy: Proxied, tmp_path: Path) -> None:
    """The first image of it that is replaced ends the copy, before the tag means anything."""
    down = proxy.down.host
    children = []
    for name in ('amd64', 'arm64'):
        push(down, Settings(), sample_image(variant=name), name=f'app:{name}')
        manifest = sample_image(variant=name).manifest
        assert manifest
        children.append((Descriptor(media_types.OCI_MANIFEST, manifest.digest, len(manifest.raw)), f'linux/{name}'))
    put_manifest(down, index_of(children), 'v1', media_types.OCI_INDEX)
    done = occystrap('process', f'registry://{down}/app:v1', f'registry://{proxy.host}/new:v1')
    assert 'this proxy filters images' in done.assert_code(1).err
    assert proxy.manifest('new').status_code == 404


def test_a_referrer_that_is_left_out_is_named(occystrap: CommandLine, proxy: Proxied) -> None:
    """The proxy takes it with 201 and a warning, since it is about an image that its filters replaced."""
    down = proxy.down.host
    push(down, Settings(), name='app:v1')
    occystrap('process', f'registry://{down}/app:v1', f'registry://{proxy.host}/new:v1', '--no-verify').assert_success()
    subject = sample_image().manifest
    assert subject
    part = Descriptor('application/vnd.oci.empty.v1+json', Digest.of(b'{}'), 2)
    HTTP.post(f'http://{down}/v2/app/blobs/uploads/?digest={part.digest}', content=b'{}').raise_for_status()
    put_manifest(down, {**json.loads(Manifest.build(part, [part]).raw), 'artifactType': 'a/sbom', 'subject': {
        'mediaType': media_types.OCI_MANIFEST, 'digest': subject.digest, 'size': len(subject.raw)}}, '',
        media_types.OCI_MANIFEST)
    done = occystrap('process', f'registry://{down}/app:v1?referrers=true', f'registry://{proxy.host}/new:v1',
                     '--no-verify')
    assert f'{proxy.host} warns: left out: its subject {subject.digest} was filtered' in done.assert_success().err
