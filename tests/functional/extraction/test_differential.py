"""What `oci://` unpacks is what umoci and Docker unpack, for stacks of layers that hypothesis makes up.

OCCYSTRAP_TEST_STACKS=1000 tries that many on each, OCCYSTRAP_TEST_ALL=1 more than usual.
"""
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from occystrap_core.errors import OccystrapError
from tests.conftest import require_service
from tests.functional.extraction.peers import STACK, docker_export, side_by_side, tars_of, umoci_unpack, write_layout
from tests.functional.extraction.stack_strategy import Stack, stacks
from tests.hostile.extraction.stacks import save_image
from tests.hostile.extraction.trees import Node, Tree, read_tree
from tests.services.docker_daemon import DockerDaemon
from tests.services.requirements import EVERYTHING, require_root
from tests.unit.tar.archives import copy, verify

UMOCI_STACKS = int(os.environ.get('OCCYSTRAP_TEST_STACKS', '150' if EVERYTHING else '40'))
SOBER_STACKS = int(os.environ.get('OCCYSTRAP_TEST_STACKS', '120'))
DOCKER_STACKS = int(os.environ.get('OCCYSTRAP_TEST_STACKS', '40'))
AT_ONCE = 20
"""Stacks in one image, where they are side by side: those that no program refuses."""


@pytest.fixture(autouse=True)
def only_root() -> None:
    """Owners and devices need root."""
    with require_service(lambda: nullcontext(require_root('owners and devices'))):
        pass


def differences(ours: Tree, theirs: Tree) -> list[str]:
    """Return a line for every path that is not the same."""
    return [f'{path}: {_described(ours.get(path))}, but theirs {_described(theirs.get(path))}'
            for path in sorted({*ours, *theirs}) if _described(ours.get(path)) != _described(theirs.get(path))]


def _described(node: Node | None) -> str:
    if node is None:
        return 'not there'
    # Times of directories differ among tools: some set them before they put in what comes later.
    time = node.mtime if node.kind != 'directory' else None
    return str((node.kind, oct(node.mode), node.owner, node.size, node.digest[:8], node.target, node.device,
                node.xattrs, node.same, time))


def unpack(directory: Path, tars: list[bytes]) -> str:
    """Unpack through the real pipeline and verify in full; return what went wrong, or nothing."""
    try:
        receipt = copy(f'tar://{save_image(directory / "image.tar", *tars)}', f'oci://{directory}/bundle')
    except OccystrapError as error:
        return str(error)
    verdict = verify(receipt)
    assert not verdict.problems, verdict
    return ''


def trying(count: int, *phases: Phase) -> settings:
    """Return the settings for that many examples: the same ones each time, unless asked for a number."""
    return settings(max_examples=count, deadline=None, derandomize='OCCYSTRAP_TEST_STACKS' not in os.environ,
                    phases=[Phase.generate, *phases], database=None,
                    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow,
                                           HealthCheck.data_too_large, HealthCheck.large_base_example])


@trying(UMOCI_STACKS, Phase.shrink)
@given(stack=stacks())
def test_stacks_are_what_umoci_unpacks(stack: Stack, program: Callable[..., str], tmp_path: Path) -> None:
    for name in ('bundle', 'umoci', 'layout'):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    tars = tars_of(stack)
    write_layout(tmp_path / 'layout', tars)
    theirs = umoci_unpack(program('umoci'), tmp_path / 'layout', tmp_path / 'umoci')
    ours = unpack(tmp_path, tars)
    assert bool(ours) == bool(theirs), f'we say {ours!r}, umoci says {theirs!r}'
    if not ours:
        found = differences(read_tree(tmp_path / 'bundle/rootfs'), read_tree(tmp_path / 'umoci'))
        assert not found


@trying(max(1, SOBER_STACKS // AT_ONCE))
@given(many=st.lists(stacks(sober=True), min_size=AT_ONCE, max_size=AT_ONCE))
def test_stacks_side_by_side_are_what_umoci_unpacks(many: Sequence[Stack], program: Callable[..., str],
                                                    tmp_path: Path) -> None:
    for name in ('bundle', 'umoci', 'layout'):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    tars = tars_of(side_by_side(many))
    write_layout(tmp_path / 'layout', tars)
    assert not umoci_unpack(program('umoci'), tmp_path / 'layout', tmp_path / 'umoci') + unpack(tmp_path, tars)
    require_same(many, read_tree(tmp_path / 'bundle/rootfs'), read_tree(tmp_path / 'umoci'))


@trying(max(1, DOCKER_STACKS // AT_ONCE))
@given(many=st.lists(stacks(sober=True), min_size=AT_ONCE, max_size=AT_ONCE))
def test_stacks_are_what_docker_exports(many: Sequence[Stack], docker_daemon: DockerDaemon, tmp_path: Path) -> None:
    for name in ('bundle', 'docker'):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    tars = tars_of(side_by_side(many))
    assert not unpack(tmp_path, tars)
    theirs = docker_export(docker_daemon, tmp_path, tars)
    require_same(many, as_exported(tmp_path / 'bundle/rootfs'), as_exported(theirs))


def require_same(many: Sequence[Stack], ours: Tree, theirs: Tree) -> None:
    """Fail unless the trees are the same, and name the stacks that are not."""
    found = differences(*({path: node for path, node in tree.items() if path.startswith(STACK)}
                          for tree in (ours, theirs)))
    wrong = {int(line.removeprefix(STACK).partition('/')[0].rstrip(':')) for line in found}
    assert not found, "\n".join([*found, *(f"{number}: {many[number]}" for number in sorted(wrong))])


def as_exported(root: Path) -> Tree:
    """Return the stacks' directories, with what `docker export` keeps: capabilities of all extended attributes."""
    return {path: replace(node, xattrs=tuple(each for each in node.xattrs if each[0] == 'security.capability'))
            for path, node in read_tree(root).items()}
