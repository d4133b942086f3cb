"""Uploads that each registry makes hard: connections that break, chunks of its own size, others who are faster."""
from pathlib import Path

import pytest

from occystrap_registry.distribution import chunked_upload
from tests.functional.archives import write_archive_of_noise
from tests.functional.registry_profiles.conftest import Start
from tests.hostile.in_process import run_here
from tests.services.registry_profiles import PROFILES, Nexus, Profile
from tests.services.registry_profiles.content import content_of, put_image
from tests.services.registry_profiles.uploads import query_of
from tests.unit.registry.scripted import Request


@pytest.mark.parametrize('profile', [each for each in PROFILES if not each.is_read_only], ids=lambda each: each.name)
@pytest.mark.parametrize('breaks', [3, 1000], ids=['3 breaks', 'breaks'])
def test_large_bodies_that_break_off(profile: type[Profile], breaks: int, start: Start, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    bad = type('Bad', (profile, ), {'breaks_bodies_over': 512 << 10, 'breaks': breaks})
    registry = start(bad)
    monkeypatch.setattr(chunked_upload, '_LARGEST', 1 << 20)
    monkeypatch.setattr(chunked_upload, '_STEADY', 300 << 10)
    archive = write_archive_of_noise(tmp_path, 1200 << 10)
    result = run_here('process', f'tar://{archive}', f'registry://{registry.host}/team/app:v1', '--verify=full')
    if not profile.takes_chunks and breaks > 3:
        sent = [each for each in registry.received('PUT', 'upload') if len(each.body) > 1 << 20]
        assert result.assert_code(1).err and len(sent) == 5, 'once, and as often again as --retries says'
        return
    result.assert_success()
    assert len(content_of(registry, 'team/app')) == 3


@pytest.mark.parametrize('profile', [Nexus], ids=lambda each: each.name)
def test_another_client_uploads_the_blob_first(profile: type[Profile], start: Start) -> None:
    source, registry = start(Profile), start(profile)
    put_image(source.store, 'app')

    def store(request: Request) -> None:
        if request.method == 'PUT' and 'digest' in query_of(request):
            registry.store.put_blob('theirs', request.body)
    registry.before = store
    run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1',
             '--verify=full').assert_success()
    assert content_of(registry, 'team/app') == content_of(source, 'app')
    assert len(registry.received('PUT', 'upload')) == 4, 'none is sent again'
