"""What `verify` asks of a destination that keeps its receipts: only the plugin knows where they are, and of what."""
from pathlib import Path

import pytest

from occystrap_core import KeptReceipts, Location, UsageError
from occystrap_core.api.schemes import WriterScheme
from occystrap_core.cli.verify import _kept
from tests.unit.core.test_plugins import build, plugin

HERE = 'tests.unit.core.test_kept_receipts'


def kept(location: Location) -> KeptReceipts:
    """Stand for a plugin that has a way of its own to name an image."""
    return KeptReceipts((), [(f'{location.path} {location.options["image"]}', 'there is no receipt')])


def test_a_plugin_gets_the_location_as_it_was_written() -> None:
    plugins = build(plugin('a', register_writers=lambda: [
        WriterScheme('shelf', f'{HERE}:none', kept_receipts=f'{HERE}:kept'), WriterScheme('box', f'{HERE}:none')]))
    found, written = _kept(plugins, 'shelf://here#3?image=x', None, None)
    assert found.unproved == [('here#3 x', 'there is no receipt')] and not written
    with pytest.raises(UsageError, match='box://here keeps no receipt: give the file'):
        _kept(plugins, 'box://here', None, None)


def test_nothing_is_there_only_where_that_is_known(tmp_path: Path) -> None:
    """A path through a loop of links stands for one that may not be looked up."""
    (tmp_path / 'loop').symlink_to('loop')
    plugins = build(plugin('a', register_writers=lambda: [
        WriterScheme('box', f'{HERE}:none', completion='files')]))
    for name, words in ('none/x', 'keeps no receipt, and nothing is there: '), ('loop/x', 'keeps no receipt: '):
        with pytest.raises(UsageError, match=f'{name} {words}'):
            _kept(plugins, f'box://{tmp_path}/{name}', None, None)
