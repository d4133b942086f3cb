"""Headless Chromium (Debian's packages chromium and chromium-driver), driven by the WebDriver protocol (W3C)."""
import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.services.directories import service_directory
from tests.services.ports import free_port
from tests.services.processes import running
from tests.services.requirements import require_program

FLAGS = ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
         '--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage')


class Browser:
    """One window of a running browser."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._client = httpx.Client(trust_env=False, timeout=60)

    def open(self, address: str) -> None:
        """Load a page."""
        self._ask('url', url=address)

    def run(self, script: str) -> Any:
        """Return what a script returns in the page."""
        return self._ask('execute/sync', script=script, args=[])

    def wait_for(self, condition: str, seconds: float = 20) -> None:
        """Wait until an expression is true in the page."""
        script = 'const done = arguments[0]; const look = () => (%s) ? done(true) : setTimeout(look, 30); look();'
        self._ask('timeouts', script=int(seconds * 1000))
        self._ask('execute/async', script=script % condition, args=[])

    def resize(self, width: int, height: int = 900) -> None:
        """Give the page a size in pixels, as if it was shown on such a device."""
        self._ask('goog/cdp/execute', cmd='Emulation.setDeviceMetricsOverride', params={
            'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': False})

    def prefer(self, scheme: str) -> None:
        """Prefer `dark` or `light` pages."""
        self._ask('goog/cdp/execute', cmd='Emulation.setEmulatedMedia', params={
            'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})

    @contextmanager
    def without_scripts(self) -> Iterator[None]:
        """Run no script of pages that are loaded in the block."""
        self._ask('goog/cdp/execute', cmd='Emulation.setScriptExecutionDisabled', params={'value': True})
        yield
        self._ask('goog/cdp/execute', cmd='Emulation.setScriptExecutionDisabled', params={'value': False})

    def screenshot(self, path: Path) -> None:
        """Write a picture of the window."""
        answer = self._client.get(f'{self._session}/screenshot')
        path.write_bytes(base64.b64decode(answer.json()['value']))

    def console(self) -> list[str]:
        """Return what the console has said since the last call: errors and warnings."""
        return [entry['message'] for entry in self._ask('se/log', type='browser')]

    def source(self) -> str:
        """Return the page as it is now."""
        return str(self._client.get(f'{self._session}/source').raise_for_status().json()['value'])

    def close(self) -> None:
        """End the session."""
        self._client.delete(self._session)
        self._client.close()

    def _ask(self, command: str, **words: Any) -> Any:
        answer = self._client.post(f'{self._session}/{command}', json=words)
        value = answer.json()['value']
        if answer.status_code != 200:
            raise AssertionError(f'{command}: {value["error"]}: {value["message"]}')
        return value


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser with an empty profile; raises ServiceUnavailable if Chromium is not installed."""
    program, port = require_program('chromedriver', 'chromium-driver'), free_port()
    with service_directory('browser') as directory:
        options = {'binary': require_program('chromium', 'chromium'), 'args': [
            *FLAGS, f'--user-data-dir={directory}/profile']}
        driver = f'http://127.0.0.1:{port}'
        with running([program, f'--port={port}'], log=directory / 'log', ready=lambda: _answers(driver),
                     environment={**os.environ, 'HOME': str(directory)}):
            made = httpx.post(f'{driver}/session', timeout=60, trust_env=False, json={'capabilities': {'alwaysMatch': {
                'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}}}).json()['value']
            session = Browser(f'{driver}/session/{made["sessionId"]}')
            try:
                yield session
            finally:
                session.close()


def _answers(driver: str) -> bool:
    try:
        return bool(httpx.get(f'{driver}/status', trust_env=False).json()['value']['ready'])
    except httpx.HTTPError:
        return False
