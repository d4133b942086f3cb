"""The page of a registry as it is sent: texts of clients are text, and the page may do nothing else."""
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from occystrap_registry.server.html_elements import Html, element
from occystrap_registry.server.recent_images import FAILED, UNVERIFIED, RecentImage
from tests.unit.registry.images import HTTP
from tests.unit.registry.server.test_metrics import watched
from occystrap_registry.server.recent_images import RecentImages

EVIL = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "' onload='x", '</td></table>', '&lt;b&gt;',
        '\u202eevil', '\x00\x1b[2J', 'javascript:alert(1)', ']]>', '<!--']


class Tags(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


def noted(*images: RecentImage) -> RecentImages:
    recent = RecentImages()
    for image in images:
        recent.add(image)
    return recent


def image_of(text: str, **more: str) -> RecentImage:
    return RecentImage(text, text, text, text, [text], reason=text, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize('text', EVIL)
def test_names_from_clients_are_escaped(text: str, tmp_path: Path) -> None:
    plain, evil = noted(image_of('x')), noted(image_of(text))
    with watched(tmp_path, recent=plain) as (place, _):
        expected = Tags(HTTP.get(place).text).tags
    with watched(tmp_path, recent=evil) as (place, _):
        answer = HTTP.get(place)
        assert Tags(answer.text).tags == expected
        assert not re.search('[\x00\x1b\u202e]', answer.text)
        assert text.isprintable() is (html.escape(text) in answer.text)


def test_attributes_are_escaped_and_html_is_not_twice() -> None:
    assert element('a', Html('<b>&amp;</b>'), '<', title='"x"') == '<a title="&quot;x&quot;"><b>&amp;</b>&lt;</a>'


def test_the_page_may_run_its_own_script_alone(tmp_path: Path) -> None:
    with watched(tmp_path) as (place, _):
        page = HTTP.get(place)
        assert page.headers['content-security-policy'].startswith("default-src 'none'; script-src 'self'; ")
        assert "frame-ancestors 'none'" in page.headers['content-security-policy']
        assert page.headers['x-content-type-options'] == 'nosniff'
        for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            answer = HTTP.get(f'{place}/{name}')
            assert answer.status_code == 200 and '//' not in name and answer.headers['x-content-type-options'], name


def test_failures_come_first_and_stay(tmp_path: Path) -> None:
    images = [RecentImage('app:broken', outcome=FAILED, reason='why'), RecentImage('app:doubt', outcome=UNVERIFIED),
              *(RecentImage(f'app:v{number}') for number in range(600))]
    with watched(tmp_path, recent=noted(*images)) as (place, _):
        text = HTTP.get(place).text
        assert text.index('app:doubt') < text.index('app:broken') < text.index('app:v599') < text.index('app:v598')
        assert '<dd>602<small>' in text and '<dd>2<small>' in text and 'why' in text


def test_an_unchanged_page_is_not_sent_again(tmp_path: Path) -> None:
    recent = noted()
    with watched(tmp_path, recent=recent) as (place, _):
        def look(known: str) -> tuple[int, str]:
            answer = HTTP.get(f'{place}/status', headers={'If-None-Match': known})
            return answer.status_code, answer.headers.get('etag', '')
        known = look('')[1]
        assert look(known)[0] == 304
        recent.add(RecentImage('app:v1'))
        assert look(known)[0] == 200
