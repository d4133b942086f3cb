"""Where the daemon is looked for."""
from pathlib import Path

import pytest

from occystrap_core import UsageError
from occystrap_docker.address import USUAL, client_arguments, find_address


@pytest.fixture(autouse=True)
def no_docker_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('DOCKER_HOST', 'DOCKER_TLS_VERIFY', 'DOCKER_CERT_PATH'):
        monkeypatch.delenv(name, raising=False)


def test_the_usual_place_without_a_word() -> None:
    assert find_address(None) == USUAL == 'unix:///var/run/docker.sock'


def test_docker_host_and_the_option_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DOCKER_HOST', 'tcp://build:2375')
    assert find_address(None) == 'tcp://build:2375'
    assert find_address('/run/podman.sock') == 'unix:///run/podman.sock'


def test_a_path_counts_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_address('docker.sock') == f'unix://{tmp_path}/docker.sock'


def test_what_is_no_address_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'ftp://host' is not the address of a Docker daemon"):
        find_address('ftp://host')


def test_passwords_are_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as error:
        find_address('tcp://me:canary@host:2375')
    assert 'canary' not in str(error.value)


def test_missing_certificates_are_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DOCKER_TLS_VERIFY', '1')
    monkeypatch.setenv('DOCKER_CERT_PATH', str(tmp_path))
    with pytest.raises(UsageError, match='certificates for the Docker daemon at tcp://host:2376'):
        client_arguments('tcp://host:2376')
    assert client_arguments('unix:///docker.sock')['base_url'] == 'unix:///docker.sock'
