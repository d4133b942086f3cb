"""Where modules are: none is imported by way of itself, none has the name of another or of an activity."""
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

PACKAGES = ['occystrap_core', 'occystrap_dask', 'occystrap_dir', 'occystrap_docker', 'occystrap_registry',
            'occystrap_s3', 'occystrap_tar']
ROLES = {'__init__', 'plugin', 'input', 'writer', 'verifier'}
"""Names that several modules of one distribution may have."""


@pytest.mark.parametrize('package', PACKAGES)
def test_no_module_is_part_of_a_circle(package: str) -> None:
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 4
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f'a circle of imports: {" imports ".join(reversed(error.args[1]))}')


@pytest.mark.parametrize('package', PACKAGES)
def test_names_of_modules(package: str) -> None:
    root = Path(__file__).parents[2] / ('.' if package == 'occystrap_core' else 'plugins') / package
    names = Counter(path.stem for path in root.rglob('*.py'))
    assert len(names) > 4
    assert not [name for name, count in names.items() if count > 1 and name not in ROLES]
    assert not [name for name in names if name.endswith('ing')]
