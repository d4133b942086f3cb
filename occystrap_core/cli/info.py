"""The command `info`: describes an image without reading its layers."""
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import click

from occystrap_core.api.image_input import ImageInput
from occystrap_core.cli.common import common, load_plugins
from occystrap_core.cli.completion import complete_uri
from occystrap_core.cli.network_options import network_options, network_settings
from occystrap_core.errors import ImageError, NoImage, ServiceError, UsageError
from occystrap_core.image.sequential_image import SequentialImage
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import Settings
from occystrap_core.terminal import print_json, print_lines, print_message
from occystrap_core.terminal_text import size_text


@click.command(short_help='Show platform, digests, layers and history of an image.')
@click.argument('source', shell_complete=complete_uri)
@click.option('--platform', help='Platform of a multi-platform image, or all (default: that of this machine).')
@network_options
@click.pass_context
def info(context: click.Context, /, source: str, platform: str | None, **network: Any) -> None:
    """Show the image at SOURCE: platform, digests, sizes, settings, and the step that made each layer.

    No layer is read; a daemon is asked what it knows without an export. Of several images each is shown, also if
    another one cannot be read.
    """
    settings = Settings(debug=common(context).debug, **network_settings(network))
    described = _described(load_plugins(context), settings.choosing(platform), source)
    if common(context).format == 'json':
        print_json({'images': described})
    else:
        for number, image in enumerate(each for each in described if 'failure' not in each):
            print_lines([*([''] if number else []), *_lines(image)])
    failed = [each for each in described if 'failure' in each]
    for each in failed:
        print_message(f'FAILED {each["reference"]}: {each["failure"]}')
    context.exit(1 if failed else 0)


def _described(plugins: Plugins, settings: Settings, source: str) -> list[dict[str, Any]]:
    """Return each image; of several, `failure` for one that cannot be read. Raises as opening the only image does."""
    from occystrap_core.sources.selection import open_selected, print_notes
    described, artifacts = [], 0
    with ExitStack() as closing:
        closing.callback(settings.shared.close)
        opened, _, references = open_selected(plugins, settings, source, 'an image, or a pattern of some', closing)
        for reference in references:
            try:
                described.append(_opened(opened, reference, source))
            except (ImageError, ServiceError) as error:
                if len(references) == 1:
                    raise
                if isinstance(error, NoImage):
                    artifacts += 1
                    continue
                described.append({'reference': str(reference), 'failure': str(error)})
    if artifacts:
        from occystrap_core.report.image_report import left_out_text  # late, as few sources have any
        print_notes([left_out_text(artifacts)])
    return described


def _opened(images: ImageInput, reference: Reference, source: str) -> dict[str, Any]:
    from occystrap_core.image.description import describe, describe_reported
    with images.open(reference) as image:
        if not isinstance(image, SequentialImage):
            return describe(image)
        if said := image.reported():
            return describe_reported(image, said)
        raise UsageError(f'{source} provides its metadata only together with all layers: copy the image first, such '
                         'as to tar://FILE')


def _lines(image: dict[str, Any], indent: str = '') -> Iterator[str]:
    """Yield the table of one image."""
    for name, value in image.items():
        if name in ('layers', 'blobs', 'manifests') or value in (None, '', [], {}):
            continue
        yield from _field(name.replace('_', ' '), value, indent)
    for layer in image.get('layers', image.get('blobs', ())):
        size = size_text(layer['size']) if 'size' in layer else '–'
        digest = (layer.get('digest') or layer.get('diff_id') or '–')[-64:][:12]
        step = ' '.join(str(layer.get('created_by') or '').split())
        yield f'{indent}  {digest:<12} {size:>10}  {step}'
    for child in image.get('manifests', ()):
        yield ''
        yield from _lines(child, indent + '  ')


def _field(name: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        value = [f'{key}={text}' if text not in ({}, None) else str(key) for key, text in value.items()]
    if name == 'size':
        value = size_text(value)
    several = value if isinstance(value, list) else [value]
    for place, text in enumerate(several):
        yield f'{indent}{name if place == 0 else "":<18} {text}'
