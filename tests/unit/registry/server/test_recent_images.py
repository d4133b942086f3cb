"""What was pushed of late, as a status page shows it."""
from pathlib import Path

from occystrap_core import Settings
from occystrap_core.oci import media_types
from occystrap_registry.server.recent_images import RecentImage, RecentImages
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings
from tests.unit.registry.images import HTTP, push


def test_the_oldest_go() -> None:
    recent = RecentImages(2)
    for name in 'abc':
        recent.add(RecentImage(name))
    assert [each.name for each in recent.newest()] == ['c', 'b'] and recent.count == 3


def test_pushes_are_noted(tmp_path: Path) -> None:
    recent = RecentImages()
    with RegistryServer(tmp_path, settings=ServerSettings(recent=recent)) as server:
        receipt = push(server.host, Settings())
        lacking = {'schemaVersion': 2, 'config': {'digest': f'sha256:{"0" * 64}', 'size': 1, 'mediaType': 'text/plain'},
                   'layers': []}
        HTTP.put(f'http://{server.host}/v2/app/manifests/bad', json=lacking,
                 headers={'Content-Type': media_types.OCI_MANIFEST})
    bad, good = recent.newest()
    assert (good.name, good.digest, good.outcome, good.has_failed) == (
        'app:v1', receipt.manifest_digest, 'stored', False)
    assert good.size == sum(each.size for each in receipt.of_kind('layer')) and good.when
    assert (bad.name, bad.digest, bad.has_failed) == ('app:bad', '', True)
    assert bad.reason == f'app has no sha256:{"0" * 64}'
