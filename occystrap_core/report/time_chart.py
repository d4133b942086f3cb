"""The picture in a report: time and bytes of each image, drawn as SVG that keeps its text readable at any width."""
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from occystrap_core.report.reported_images import ReportedImage
from occystrap_core.terminal_text import size_text

_SHOWN = 50
_WIDEST = 78.0
"""The longest bar in percent, so that its figure fits beside it."""


def time_chart(images: Sequence[ReportedImage]) -> Element:
    """Return the chart of the images, those that took longest first."""
    shown = sorted(images, key=lambda image: (-image.seconds, -image.size))[:_SHOWN]
    longest = max(image.seconds for image in shown) or 1.0
    largest = max(image.size for image in shown) or 1
    chart = Element('section')
    SubElement(chart, 'h2').text = 'Time and bytes'
    key = SubElement(chart, 'p', {'class': 'key'})
    for kind, words in (('time', '■ seconds '), ('bytes', '■ bytes of layers')):
        SubElement(key, 'span', {'class': kind}).text = words
    if len(shown) < len(images):
        SubElement(chart, 'p').text = f'The {len(shown)} of {len(images)} images that took longest.'
    rows = SubElement(chart, 'div', {'class': 'chart'})
    for image in shown:
        SubElement(rows, 'span', {'class': 'label', 'title': image.name}).text = image.name
        rows.append(_bars(image, image.seconds / longest, image.size / largest))
    return chart


def _bars(image: ReportedImage, of_longest: float, of_largest: float) -> Element:
    seconds, size = f'{image.seconds:.1f} s', size_text(image.size)
    drawn = Element('svg', role='img')
    drawn.set('aria-label', f'{seconds}, {size}')
    for kind, part, top, words in (('time', of_longest, 1, seconds), ('bytes', of_largest, 13, size)):
        width = max(part * _WIDEST, 0.3)
        SubElement(drawn, 'rect', {'class': kind, 'x': '0', 'y': str(top), 'width': f'{width:.2f}%', 'height': '9',
                                   'rx': '1'})
        SubElement(drawn, 'text', {'x': f'{width + 1:.2f}%', 'y': str(top + 8.5)}).text = words
    return drawn
