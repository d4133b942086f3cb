"""The images of a document as reports show them, whichever command made the document."""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from occystrap_core.terminal_text import one_line

GOOD = ('verified', 'unchanged', 'copied', 'checked')
_FACTS = {'source_digest': 'digest at the source', 'manifest_digest': 'manifest', 'image_id': 'image id',
          'evidence': 'evidence', 'written_to': 'written to', 'bytes_moved': 'bytes written',
          'bytes_reused': 'bytes kept from an interrupted run', 'settle_seconds': 'seconds until all was visible'}


class ReportedImage(NamedTuple):
    """One image: `outcome` in one word; `problems`: why it failed. Texts are printable lines, sizes are in bytes."""

    name: str
    place: str
    outcome: str
    layers: int
    size: int
    seconds: float
    problems: Sequence[str]
    remarks: Sequence[str]
    """Warnings and notes, which are not failures."""
    facts: Mapping[str, str]
    expectations: Sequence[Mapping[str, Any]]

    @property
    def succeeded(self) -> bool:
        """Whether all is right with it."""
        return self.outcome in GOOD


def reported_images(document: Mapping[str, Any]) -> list[ReportedImage]:
    """Return the images of a document of `process`, `verify` or `check`, in its order."""
    return [_reported(each) for each in document['images']]


def failures_first(images: Sequence[ReportedImage]) -> list[ReportedImage]:
    """Return the images: those that failed, those that are unverified, then all others."""
    ranks = {'failed': 0, 'unverified': 1}
    return sorted(images, key=lambda image: ranks.get(image.outcome, 2))


def _reported(image: Mapping[str, Any]) -> ReportedImage:
    found = [(each.get('severity') or each['level'], _finding(each)) for each in image['findings']]
    problems = [text for level, text in found if level in ('error', 'unverified')]
    failure = [one_line(image['failure'])] if image['failure'] else []
    remarks = [f'{level}: {text}' for level, text in found if level not in ('error', 'unverified')]
    facts = {words: one_line(str(image[name])) for name, words in _FACTS.items() if image.get(name) is not None}
    return ReportedImage(one_line(image['reference']), one_line(image.get('destination') or ''),
                         _outcome(image, bool(problems)), image.get('layers', 0), image.get('bytes', 0),
                         image.get('seconds', 0.0), [*failure, *problems],
                         [*remarks, *map(one_line, image.get('notes', ()))], facts, image.get('expectations') or ())


def _outcome(image: Mapping[str, Any], has_problems: bool) -> str:
    if 'outcome' not in image:  # of check
        return 'failed' if image['failure'] or has_problems else 'checked'
    if image['failure'] or image['outcome'] == 'failed':
        return 'failed'
    if image['status'] == 'unchanged' and image['outcome'] in (None, 'verified'):
        return 'unchanged'
    return str(image['outcome'] or image['status'])


def _finding(finding: Mapping[str, Any]) -> str:
    """Return what is wrong, and with what, as one line."""
    if 'rule' not in finding:
        return one_line(': '.join(filter(None, [finding['item'], finding['message']])))
    layer = '' if finding['layer'] is None else f'layer {finding["layer"]}'
    return one_line(': '.join(filter(None, [finding['rule'], layer, finding['path'], finding['message']])))


def pruned_text(gone: Mapping[str, Any]) -> str:
    """Return the result for an image that the source no longer has."""
    name = one_line(f'{gone["reference"]} at {gone["destination"]}')
    return f'Not pruned: {name}: {one_line(gone["reason"])}' if gone['reason'] else f'Pruned: {name}'


def observed_text(expectation: Mapping[str, Any]) -> str:
    """Return how an expectation was observed: `present (hashed), missing: why`."""
    return ', '.join(_observations(expectation)) or 'not observed'


def _observations(expectation: Mapping[str, Any]) -> Iterator[str]:
    for seen in expectation['observed']:
        reason = f': {seen["reason"]}' if seen.get('reason') else ''
        yield one_line(f'{seen["presence"]} ({seen["how"]}){reason}')
