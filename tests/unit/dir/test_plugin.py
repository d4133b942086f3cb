import subprocess
import sys

from occystrap_core import InputScheme, WriterScheme
from occystrap_dir import plugin


def test_declaring_imports_nothing_of_what_does_the_work() -> None:
    code = 'import sys, occystrap_dir.plugin; print(*sorted(name for name in sys.modules if "occystrap" in name))'
    loaded = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith('occystrap_dir')] == ['occystrap_dir', 'occystrap_dir.plugin']
    assert not {'occystrap_core.image', 'occystrap_core.verification'}.intersection(loaded)


def test_what_is_declared() -> None:
    (source,), (writer,) = plugin.register_inputs(), plugin.register_writers()
    assert isinstance(source, InputScheme) and isinstance(writer, WriterScheme)
    assert (source.name, writer.name, writer.many.accepted, writer.many.needs) == ('dir', 'dir', True, 'unique_names')
