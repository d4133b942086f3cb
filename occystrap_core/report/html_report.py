"""A report as one HTML page that needs nothing else: no script, no other file, no host."""
import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, tostring

from occystrap_core.report.reported_images import (
    ReportedImage, failures_first, observed_text, pruned_text, reported_images,
)
from occystrap_core.report.time_chart import time_chart
from occystrap_core.terminal_text import counted, one_line, size_text
from occystrap_core.version import __version__

_OUTCOMES = {'failed': 'failed', 'unverified': 'unverified', 'verified': 'verified', 'unchanged': 'unchanged',
             'copied': 'copied', 'checked': 'without an error'}


def html_report(command: str, document: Mapping[str, Any]) -> str:
    """Return the document as a page, failures first; whatever comes from images is text, never markup."""
    images = failures_first(reported_images(document))
    title = f'occystrap {command}: {_result(images, document)}'
    body = element('body', element('h1', title), element('p', one_line(document['summary']), kind='summary'),
                   _totals(images, document), *_messages(document))
    if images:
        body.append(time_chart(images))
        body.append(element('h2', 'Images'))
        body.extend(map(_image, images))
    body.append(element('footer', f'occystrap {__version__}' + _receipts(document)))
    page = element('html', _head(title), body, lang='en')
    return f'<!DOCTYPE html>\n{tostring(page, encoding="unicode", method="html")}\n'


def element(tag: str, *children: Element | str, kind: str = '', **attributes: str) -> Element:
    """Return an element; `kind` is its class, strings are text."""
    made = Element(tag, {**attributes, **({'class': kind} if kind else {})})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or '') + child
        else:
            made.text = (made.text or '') + child
    return made


def _head(title: str) -> Element:
    style = (Path(__file__).parent / 'report_page.css').read_text(encoding='utf-8')
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element('head', element('meta', charset='utf-8'), element('title', title), element(
        'meta', **{'http-equiv': 'Content-Security-Policy', 'content': policy}), element(
        'meta', name='viewport', content='width=device-width, initial-scale=1'), element('style', style))


def _result(images: Sequence[ReportedImage], document: Mapping[str, Any]) -> str:
    if document.get('error'):
        return 'stopped'
    failed = sum(not image.succeeded for image in images)
    if failed:
        return f'{failed} of {counted(len(images), "image")} failed'
    return f'{counted(len(images), "image")}, ' + ('all well' if document['succeeded'] else 'not all well')


def _totals(images: Sequence[ReportedImage], document: Mapping[str, Any]) -> Element:
    outcomes = [image.outcome for image in images]
    figures = [(str(outcomes.count(name)), words) for name, words in _OUTCOMES.items() if name in outcomes]
    figures += [(str(sum(image.layers for image in images)), 'layers'),
                (size_text(sum(image.size for image in images)), 'in layers'),
                (f'{document["seconds"]:.1f} s', 'in all')]
    return element('ul', *(element('li', element('b', figure), words) for figure, words in figures), kind='totals')


def _messages(document: Mapping[str, Any]) -> Iterator[Element]:
    if error := document.get('error'):
        yield element('p', element('b', 'The run ended early: ', kind='bad'), one_line(error), kind='error')
    for note in document.get('notes', ()):
        yield element('p', f'Note: {one_line(note)}')
    for gone in document.get('pruned', ()):
        yield element('p', pruned_text(gone))


def _image(image: ReportedImage) -> Element:
    figures = f'{counted(image.layers, "layer")}, {size_text(image.size)}, {image.seconds:.1f} s'
    head = element('div', element('span', image.name, kind='name'), element('span', figures, kind='figures'),
                   element('span', image.outcome, kind='outcome'), kind='head')
    shown = element('section', head, kind=f'image {image.outcome}')
    if image.place:
        shown.append(element('div', f'→ {image.place}', kind='place'))
    lines = [*(('problem', each) for each in image.problems), *(('', each) for each in image.remarks)]
    if lines:
        shown.append(element('ul', *(element('li', text, kind=kind) for kind, text in lines)))
    if image.facts or image.expectations:
        shown.append(_details(image))
    return shown


def _details(image: ReportedImage) -> Element:
    """Return what is shown on demand: digests, and how each expectation was proved."""
    proofs = counted(len(image.expectations), 'expectation') if image.expectations else 'digests'
    facts = [child for words, value in image.facts.items() for child in (element('dt', words), element('dd', value))]
    return element('details', element('summary', proofs), element('dl', *facts), element(
        'ul', *map(_proof, image.expectations), kind='proofs'))


def _proof(expectation: Mapping[str, Any]) -> Element:
    size = '' if expectation['size'] is None or expectation['size'] < 0 else f', {size_text(expectation["size"])}'
    outcome = str(expectation['outcome'])
    return element('li', element('b', outcome, kind='' if outcome == 'verified' else 'bad'),
                   one_line(f' {expectation["kind"]} {expectation["locator"]}{size}: {observed_text(expectation)}'),
                   element('br'), element('code', one_line(str(expectation['digest']))))


def _receipts(document: Mapping[str, Any]) -> str:
    receipts = document.get('receipts')
    return f', receipts {one_line(receipts["path"])}, {receipts["digest"]}' if receipts else ''
