"""Finding the credentials for a repository, once a run, in a fixed order."""
import threading
import time
from pathlib import Path

from occystrap_core import Settings
from occystrap_registry.credentials.auth_files import AuthFile, places_to_read
from occystrap_registry.credentials.credential_helpers import ask_helper
from occystrap_registry.credentials.given_credentials import environment_credentials
from occystrap_registry.credentials.logins import Login, server_names

_HELD = 300.0
"""Seconds after which a helper is called again, since some give passwords that expire after an hour."""


class Logins:
    """All logins except those in URIs: --username, the environment, files and their helpers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files: dict[Path, AuthFile] = {}
        self._answers: dict[tuple[str, str], tuple[float, Login | None]] = {}
        self._lock = threading.Lock()

    def find(self, host: str, repository: str = '') -> Login | None:
        """Return the login for a repository at exactly `host[:port]`, or None; raises UsageError for broken files."""
        given = self._settings.login or environment_credentials()
        if given:
            return Login(*given)
        with self._lock:
            found = (self._kept(path, host, repository) for path in places_to_read())
            return next((login for login in found if login), None)

    def _kept(self, path: Path, host: str, repository: str) -> Login | None:
        file = self._files.get(path) or self._files.setdefault(path, AuthFile(path))
        return self._by_helper(file.helper(host), host) or file.login(host, repository)

    def _by_helper(self, name: str | None, host: str) -> Login | None:
        found = (self._ask(name, server) for server in server_names(host) if name)
        return next((login for login in found if login), None)

    def _ask(self, name: str, server: str) -> Login | None:
        until, login = self._answers.get((name, server), (0.0, None))
        if until < time.monotonic():
            login = ask_helper(name, server, self._settings.timeout)
            self._answers[name, server] = time.monotonic() + _HELD, login
        return login


def find_login(host: str, repository: str, settings: Settings) -> Login | None:
    """Return what `Logins.find` does; files are read once a run."""
    return settings.shared.lasting.get(Logins, lambda: Logins(settings)).find(host, repository)
