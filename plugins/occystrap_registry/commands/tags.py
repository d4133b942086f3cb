"""The command `tags`: list the tags of a repository, or the repositories of a registry."""
from itertools import islice

import click

from occystrap_core import Location, OptionType, Settings, UsageError
from occystrap_core.files import print_json, print_lines
from occystrap_core.oci import has_glob, looks_like_host, natural_key
from occystrap_registry.distribution.catalog import PAGE, list_repositories, list_tags
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.plugin import CONNECTION
from occystrap_registry.transport.address import parse_address, split_userinfo

_SCHEME = 'registry'


@click.command()
@click.argument('location', metavar='registry://HOST[/REPOSITORY]')
@click.option('--limit', type=OptionType.whole(1), metavar='NUMBER', help='Maximum number of names.')
@click.option('-O', '--output-format', 'shape', type=click.Choice(['text', 'json']), help='The format of stdout.')
@click.option('--timeout', type=OptionType.number(0.1, name='seconds'), default=60.0,
              show_default=True, metavar='SECONDS',
              help='Timeout for an answer of the registry.')
@click.option('--retries', type=OptionType.whole(), default=4, show_default=True,
              help='Number of retries of a failed request.')
@click.option('--ca-file', type=click.Path(exists=True, dir_okay=False), metavar='FILE',
              help='Certificates of authorities to trust besides the system\'s.')
@click.pass_context
def tags(context: click.Context, /, location: str, limit: int | None, shape: str | None, timeout: float, retries: int,
         ca_file: str | None) -> None:
    """List the tags of a repository, one per line, or without a repository the repositories of a registry.

    The connection options of registry:// are accepted: registry://host/app?insecure=true.
    """
    settings = Settings(timeout=timeout, retries=retries, ca_file=ca_file)
    key, named, names = _listed(_location(location), settings, limit)
    names.sort(key=natural_key)
    if (shape or getattr(context.find_root().obj, 'format', 'text')) == 'json':
        print_json({**named, key: names})
    else:
        print_lines(names)


def _location(text: str) -> Location:
    """Return the location; raises UsageError for another scheme, a pattern, or a single image."""
    if '://' not in text:
        text = f'{_SCHEME}://{"" if _begins_with_host(text) else "docker.io/"}{text}'
    if not text.startswith(f'{_SCHEME}://'):
        raise UsageError(f'{text.partition("://")[0]}:// cannot be listed: give registry://host/repository')
    written = Location.parse(text, CONNECTION)
    named = split_userinfo(written.path)[1]
    if has_glob(named.partition('/')[2]):
        raise UsageError(f'{_SCHEME}://{named} is a pattern: occystrap process --dry-run lists what it matches')
    if '/' in named and (':' in named.rpartition('/')[2] or '@' in named):
        raise UsageError(f'{_SCHEME}://{named} names one image: leave out its tag or digest')
    return written.with_path(written.path.removesuffix('/'))


def _begins_with_host(text: str) -> bool:
    """Return whether a name without a scheme begins with a host; otherwise it is one of Docker Hub, as in other
    commands."""
    first = text.partition('?')[0].partition('/')[0]
    return not first or '@' in first or looks_like_host(first)


def _listed(location: Location, settings: Settings, limit: int | None) -> tuple[str, dict[str, str], list[str]]:
    """Return the kind of the names, their parent as JSON fields, and the names."""
    whole = '/' not in location.path.rpartition('@')[2]
    address = parse_address(location.with_path(f'{location.path}/any') if whole else location, settings)
    client = RegistryClient(address, settings)
    page = min(limit or PAGE, PAGE)
    try:
        if whole:
            return 'repositories', {'registry': address.reference.host}, list(
                islice(list_repositories(client, page), limit))
        return 'tags', {'repository': address.reference.name}, list(
            islice(list_tags(client, address.reference.repository, page), limit))
    finally:
        client.close()
        settings.shared.close()
