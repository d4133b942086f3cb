"""A report in JUnit's XML, which CI systems show: one testcase for each image."""
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from occystrap_core.report.reported_images import ReportedImage, pruned_text, reported_images
from occystrap_core.terminal_text import one_line

_TOTALS = ('level', 'summary', 'requests', 'retries', 'rate_limits')


def junit_report(command: str, document: Mapping[str, Any]) -> str:
    """Return the document as XML: an image that failed has a failure, one that is unverified an error.

    What else is wrong, such as why a run ended early, is an error of one more testcase.
    """
    images = reported_images(document)
    failed = sum(image.outcome == 'failed' for image in images)
    others = _other_problems(document, images)
    errors = sum(image.outcome == 'unverified' for image in images) + bool(others)
    counts = {'name': f'occystrap {command}', 'tests': str(len(images) + bool(others)),
              'failures': str(failed), 'errors': str(errors), 'time': f'{document["seconds"]:.3f}'}
    root = Element('testsuites', counts)
    began = datetime.now(timezone.utc) - timedelta(seconds=document['seconds'])
    suite = SubElement(root, 'testsuite', {**counts, 'skipped': '0', 'timestamp': began.strftime('%Y-%m-%dT%H:%M:%S')})
    _add_properties(suite, {name: one_line(str(document[name])) for name in _TOTALS if name in document})
    for image in images:
        _add_image(suite, command, image)
    if others:
        case = SubElement(suite, 'testcase', classname=f'occystrap {command}', name='the run', time='0.000')
        SubElement(case, 'error', message=others[0], type='run').text = '\n'.join(others)
    indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, encoding="unicode")}\n'


def _other_problems(document: Mapping[str, Any], images: Sequence[ReportedImage]) -> list[str]:
    """Return why a run has not succeeded, apart from problems of single images."""
    stopped = one_line(document.get('error', ''))
    found = [stopped] if stopped and not any(stopped in image.problems for image in images) else []
    found += [pruned_text(each) for each in document.get('pruned', ()) if each['reason']]
    is_told = document['succeeded'] or found or not all(image.succeeded for image in images)
    return found if is_told else [one_line(document['summary'])]


def _add_image(suite: Element, command: str, image: ReportedImage) -> None:
    case = SubElement(suite, 'testcase', classname=image.place or f'occystrap {command}', name=image.name,
                      time=f'{image.seconds:.3f}')
    _add_properties(case, {'outcome': image.outcome, 'layers': str(image.layers), 'bytes': str(image.size),
                           **image.facts})
    if not image.succeeded:
        kind = 'failure' if image.outcome == 'failed' else 'error'
        why: Sequence[str] = image.problems or [image.outcome]
        SubElement(case, kind, message=why[0], type=image.outcome).text = '\n'.join(why)
    if image.remarks:
        SubElement(case, 'system-out').text = '\n'.join(image.remarks)


def _add_properties(parent: Element, values: Mapping[str, str]) -> None:
    properties = SubElement(parent, 'properties')
    for name, value in values.items():
        SubElement(properties, 'property', name=name, value=value)
