"""No module imports itself by way of others, not even in a function or for type checking alone."""
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

PACKAGES = ['occystrap_core', 'occystrap_dir', 'occystrap_docker', 'occystrap_registry', 'occystrap_tar']


@pytest.mark.parametrize('package', PACKAGES)
def test_no_module_is_part_of_a_circle(package: str) -> None:
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 10
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f'a circle of imports: {" imports ".join(reversed(error.args[1]))}')
