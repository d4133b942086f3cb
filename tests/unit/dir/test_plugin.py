import subprocess
import sys

from occystrap_core import InputScheme, Location, WriterScheme
from occystrap_dir import plugin


def test_declaring_imports_nothing_of_what_does_the_work() -> None:
    code = 'import sys, occystrap_dir.plugin; print(*sorted(name for name in sys.modules if "occystrap" in name))'
    loaded = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith('occystrap_dir')] == ['occystrap_dir', 'occystrap_dir.plugin']
    assert not {'occystrap_core.image', 'occystrap_core.verification'}.intersection(loaded)


def test_declared_schemes() -> None:
    sources = {each.name: each for each in plugin.register_inputs()}
    writers = {each.name: each for each in plugin.register_writers()}
    assert set(sources) >= {'dir', 'layout'} and set(writers) >= {'dir', 'layout'}
    assert all(isinstance(each, InputScheme) for each in sources.values())
    assert all(isinstance(each, WriterScheme) for each in writers.values())
    assert (writers['dir'].many.accepted, writers['dir'].many.needs) == (True, 'unique_names')


def test_a_layout_takes_several_images_unless_it_names_a_tag() -> None:
    many = {each.name: each for each in plugin.register_writers()}['layout'].many
    assert many.accepted
    for path, tag, alone in [('/a/b', None, False), ('/a:c/b', None, False), ('/a/b:v1', None, True),
                             ('/a', 'v1', True)]:
        assert many.unless(Location('layout', path, {'tag': tag}, {})) is alone
