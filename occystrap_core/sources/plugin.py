"""The built-in sources and executors, registered through the same hooks as any plugin's."""
from collections.abc import Iterable

from occystrap_core.api.hookspecs import hookimpl
from occystrap_core.api.options import Option, OptionType
from occystrap_core.api.schemes import FILES, ExecutorKind, InputScheme
from occystrap_core.api.selection_options import PRUNING


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """Return the sources that name others."""
    return [
        InputScheme('list', 'occystrap_core.sources.list_file:ListFile', PRUNING,
                    help='the images listed in a file, one reference or URI per line, # for comments; list://- is '
                         'stdin',
                    instead='give the destination of the images that it lists', completion=FILES),
        InputScheme('plan', 'occystrap_core.sources.plan:Plan', PRUNING,
                    help='a plan in TOML, or in YAML where the name ends in .yaml or .yml: images with destinations, '
                         'platforms and filters',
                    instead='a plan has the destinations of its images: use it as SOURCE, without DEST',
                    completion=FILES),
    ]


@hookimpl
def register_executors() -> Iterable[ExecutorKind]:
    """Return the executors that need nothing but this machine."""
    return [
        ExecutorKind('local', help='the threads of this process, as without --executor'),
        ExecutorKind('processes', 'occystrap_core.bulk.processes:worker_processes', [
            Option('workers', OptionType.whole(1, 1024), help='how many, an image in each (default: one a core)'),
            Option('frozen', OptionType.number(1, 86400, name='seconds'), 30.0,
                   'how long a worker may be silent before its image is given to another'),
        ], 'worker processes of this machine, an image in each'),
    ]
