"""GET /: the status page of a registry: numbers, and the latest images, failed ones first.

Without JavaScript the page reloads itself; with it, the changing part is fetched. All HTML is rendered here, so that
text from clients is escaped in one place, and the page may run nothing but its own script.
"""
import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from occystrap_core import __version__
from occystrap_core.files import size_text
from occystrap_registry.server.figures import figures_of
from occystrap_registry.server.html_elements import Html, document, element, together
from occystrap_registry.server.metrics import Metrics
from occystrap_registry.server.recent_images import RecentImage

PATH, LIVE_PATH = '/', '/status'
_FILES = {'status.css': 'text/css', 'status.js': 'text/javascript', 'status.svg': 'image/svg+xml'}
_HEADERS = {
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
                               "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer', 'Cache-Control': 'no-store'}
_RELOAD = '10'
"""Seconds after which the page reloads itself if no script runs."""
_MOST = 100
"""Number of images that are shown, of failed and of other ones each."""


_COLUMNS = (('Image', 'image'), ('Result', 'result'), ('Filters', 'filters'), ('Size', 'number'), ('Took', 'number'),
            ('When', 'when'))
_LONGEST = 400
"""Longest reason that is shown, in characters; an image of many layers may have a long one."""
_SHOWN = 19
"""Characters of a digest that are shown; a tooltip has the rest."""


class StatusPage:
    """The page of one registry, proxy or mirror, and its parts."""

    def __init__(self, title: str, place: str, metrics: Metrics) -> None:
        """`place` says what is served."""
        self._title, self._place, self._metrics = title, place, metrics
        directory = Path(__file__).parent / 'page'
        self._files = {f'/{name}': ((directory / name).read_bytes(), kind) for name, kind in _FILES.items()}

    def routes(self) -> Sequence[Route]:
        """Return where page and parts are."""
        return [Route(PATH, self.page, methods=['GET']), Route(LIVE_PATH, self.live, methods=['GET']),
                *(Route(path, self.file, methods=['GET']) for path in self._files)]

    def page(self, request: Request) -> Response:
        """Return the whole page."""
        reload = element('noscript', element('meta', http_equiv='refresh', content=_RELOAD))
        head = element('head', element('meta', charset='utf-8'), element('title', self._title), element(
            'meta', name='viewport', content='width=device-width, initial-scale=1'), element(
            'link', rel='icon', href='status.svg'), element('link', rel='stylesheet', href='status.css'), reload,
            element('script', src='status.js', defer=''))
        header = element('header', element('h1', self._title), element('p', self._place),
                         element('span', '', id='connection'))
        footer = element('footer', f'occystrap {__version__} · numbers for Prometheus at ',
                         element('a', 'metrics', href='metrics'))
        return _answer(document(head, element('body', header, element('main', self._live(request)), footer), lang='en'))

    def live(self, request: Request) -> Response:
        """Return the part of the page that changes, 304 if it has not."""
        answer = _answer(self._live(request))
        if request.headers.get('if-none-match') == answer.headers['etag']:
            return Response(status_code=304, headers=_HEADERS)
        return answer

    def file(self, request: Request) -> Response:
        """Return style, script or picture."""
        content, kind = self._files[request.url.path]
        return Response(content, media_type=kind, headers=_HEADERS)

    def _live(self, request: Request) -> Html:
        images = request.app.state.recent.newest()
        failed = [image for image in images if image.has_failed]
        others = [image for image in images if not image.has_failed]
        nothing = [] if images else [element('p', 'No image has been pushed since the start.', class_='nothing')]
        sections = [_section('Failed', failed), _section('Recent images', others), *nothing]
        return together([self._figures(request), *sections])

    def _figures(self, request: Request) -> Html:
        found, totals = figures_of(request.app.state), request.app.state.recent.totals()
        failed = sum(number for (_, outcome), number in totals.items() if RecentImage('', outcome=outcome).has_failed)
        pool = self._metrics.pool
        return element('dl', *chain(
            [_figure('Images', f'{sum(totals.values())}', 'since the start'),
             _figure('Failed', f'{failed}', 'since the start', 'bad' if failed else '')],
            [_figure('Stored', size_text(pool.size), f'{pool.blobs} blobs')] if pool else [],
            [_figure('Free on disk', size_text(found.disk.free), f'of {size_text(found.disk.size)}')]
            if found.disk else [],
            [_figure('Connections', f'{found.connections}', f'{found.uploads} uploads under way')]), class_='figures')


def _answer(content: Html) -> Response:
    raw = content.encode()
    tag = f'"{hashlib.sha256(raw).hexdigest()[:32]}"'
    return Response(raw, media_type='text/html; charset=utf-8', headers={**_HEADERS, 'ETag': tag})


def _figure(name: str, value: str, note: str, kind: str = '') -> Html:
    return element('div', element('dt', name), element('dd', value, element('small', note)), class_=kind)


def _section(title: str, images: Sequence[RecentImage]) -> Html:
    if not images:
        return Html()
    heading = [element('th', text, class_=kind) for text, kind in _COLUMNS]
    table = element('table', element('thead', element('tr', *heading)), element('tbody', *map(_row, images[:_MOST])))
    return element('section', element('h2', title, element('span', f'{len(images)}', class_='count')), table)


def _row(image: RecentImage) -> Html:
    notes = [element('small', f'→ {image.reference}')] if image.reference else []
    if image.digest:
        notes.append(element('small', f'{image.digest[:_SHOWN]}…', title=image.digest))
    reason = [_reason(image.reason)] if image.reason else []
    filters = [element('span', each, class_='filter') for each in image.filters]
    when = datetime.fromtimestamp(image.when, timezone.utc)
    return element(
        'tr', element('td', element('bdi', element('b', image.name)), *notes, *reason, class_='image'),
        element('td', element('span', image.direction, class_='direction'),
                element('span', image.outcome, class_='outcome'), class_='result'),
        element('td', *filters or '–', class_='filters' if filters else 'filters none'),
        element('td', size_text(image.size) if image.size else '–', class_='number' if image.size else 'number none'),
        element('td', _duration(image.seconds), class_='number'),
        element('td', element('time', f'{when:%H:%M:%S} UTC', datetime=f'{when:%Y-%m-%dT%H:%M:%SZ}'), class_='when'),
        class_=image.outcome)


def _reason(text: str) -> Html:
    if len(text) <= _LONGEST:
        return element('span', text, class_='reason')
    return element('span', f'{text[:_LONGEST]}…', class_='reason', title=text)


def _duration(seconds: float) -> str:
    return f'{seconds * 1000:.0f} ms' if seconds < 1 else f'{seconds:.1f} s' if seconds < 100 else f'{seconds:.0f} s'
