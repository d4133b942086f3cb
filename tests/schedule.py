"""Which tests stay together in one process, and what starts first: long work first, so that no process ends alone.

Marks of pytest-xdist (`xdist_group`) do the first only, by changing names of tests, which pytest 9 does not let them.
"""
import pytest
from xdist.scheduler import LoadScopeScheduling

GROUPS: tuple[tuple[str, ...], ...] = (
    ('tests/functional/test_pairs.py', 'tests/functional/test_bundle.py', 'tests/functional/checks/',
     'tests/functional/extraction/test_bundles_and_mounts.py', 'tests/functional/test_search.py'),
    ('tests/functional/docker/', 'tests/functional/pages/test_pages_of_daemons.py', 'tests/functional/tar/',
     'tests/functional/test_services.py'),
    ('tests/functional/registry/', 'tests/functional/test_layout.py', 'tests/functional/test_mistakes.py',
     'tests/functional/test_registry_to_registry.py'),
    ('tests/functional/many/', ),
    ('tests/functional/s3/', 'tests/functional/pages/test_page_of_buckets.py', 'tests/hostile/s3/'),
    ('tests/functional/test_damage.py', ),
)
"""Files and directories whose tests share what takes long to start: the real image in a daemon, daemons, registries."""
ALONE = ('tests/hostile/faults/test_formats.py', 'tests/hostile/faults/test_files.py',
         'tests/hostile/extraction/test_same_everywhere.py', 'tests/hostile/extraction/test_limits.py',
         'tests/hostile/test_registry_silence.py', 'tests/hostile/test_registry_slowness.py',
         'tests/hostile/writers/test_row_54', 'tests/hostile/writers/test_row_56')
"""Files whose tests take long by themselves, and share nothing; they are handed out one by one."""
LAST = 'tests/unit/'


def unit_of(test: str) -> str:
    """Return what a test is handed out with: the first place of its group, itself, or its file."""
    for group in GROUPS:
        if test.startswith(group):
            return group[0]
    return test if test.startswith(ALONE) else test.partition('::')[0]


def rank(test: str) -> tuple[int, int]:
    """Return when it is handed out: groups in their order and that of their places, long tests, files, unit tests."""
    for number, group in enumerate(GROUPS):
        for place, prefix in enumerate(group):
            if test.startswith(prefix):
                return number, place
    kinds = (test.startswith(ALONE), not test.startswith(LAST))
    return len(GROUPS), kinds.index(True) if any(kinds) else len(kinds)


class Schedule(LoadScopeScheduling):
    """Hands out the units in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)  # type: ignore[arg-type]

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
