import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from occystrap_registry.distribution import settle_time
from occystrap_registry.transport import retries
from tests.services.registry_profiles import Profile
from tests.services.registry_profiles.server import ProfiledRegistry

Start = Callable[[type[Profile]], ProfiledRegistry]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of the user who runs the tests, no long waits, and a directory of the test's own."""
    for name in ('OCCYSTRAP_USERNAME', 'OCCYSTRAP_PASSWORD', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY',
                 'REGISTRY_AUTH_FILE'):
        monkeypatch.delenv(name, raising=False)
    for name, directory in (('HOME', 'home'), ('DOCKER_CONFIG', 'docker'), ('XDG_RUNTIME_DIR', 'run'),
                            ('XDG_CONFIG_HOME', 'config')):
        monkeypatch.setenv(name, str(tmp_path / directory))
    monkeypatch.setattr(retries, '_FIRST', 0.001)
    monkeypatch.setattr(settle_time, '_FIRST', 0.001)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts registries; the login of each is in docker's config.json."""
    logins = {}
    (tmp_path / 'docker').mkdir()
    with ExitStack() as stack:
        def started(profile: type[Profile]) -> ProfiledRegistry:
            registry = stack.enter_context(ProfiledRegistry(profile()).running())
            if registry.profile.login:
                auth = base64.b64encode(':'.join(registry.profile.login).encode()).decode()
                logins[registry.host] = {'auth': auth}
                (tmp_path / 'docker/config.json').write_text(json.dumps({'auths': logins}))
            return registry
        yield started
