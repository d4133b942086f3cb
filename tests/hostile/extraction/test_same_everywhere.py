"""Every stack that the tests here extract has the same outcome in every kind of destination, in one run of each."""
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.extraction.catalogue import Stack, catalogue
from tests.hostile.extraction.ground import ALL, OWN, Destination, Ground, User
from tests.hostile.extraction.trees import Tree, read_tree
from tests.services.directories import service_directory
from tests.services.requirements import EVERYTHING

REACHING_DOWN = {
    'test_breakouts::test_paths_through_a_symlink_stay_in_the_root',
    'test_breakouts::test_deleting_through_a_symlink_stays_in_the_root',
    'test_breakouts::test_attributes_never_go_through_links',
    'test_parents::test_a_parent_that_is_no_directory_is_refused', 'test_replacing::test_hard_links_in_every_order',
    'test_replacing::test_of_two_entries_of_one_name_the_last_wins'}
"""Tests whose upper layers go through lower ones, which those that are unpacked one by one do not."""


Outcome = Tree | str
"""What came of a stack: a tree, or why there is none."""


@pytest.fixture(params=['root', 'ordinary'])
def ground(request: pytest.FixtureRequest, users: Callable[[str], User]) -> Iterator[Ground]:
    """A ground with its victims planted."""
    user = users(request.param)
    with service_directory('ground') as directory:
        directory.chmod(0o755)
        ground = Ground(directory, ALL['oci'], user)
        ground.plant()
        (directory / OWN / 'archives').mkdir()
        yield ground


def written(ground: Ground, stacks: list[Stack], destination: Destination, outside: Tree) -> list[Outcome]:
    """Write all stacks by one plan; fail unless each is there or refused, and `outside` is what else there is."""
    plan, place = ground.directory / OWN / 'plan.yaml', ground.directory / 'bundle' / destination.scheme
    place.mkdir(parents=True)
    os.chown(place, ground.user.id, ground.user.id)
    plan.write_text(json.dumps({'images': [
        {'source': f'tar://{stack.archive}', 'destination': uri(place / str(number), destination, stack)}
        for number, stack in enumerate(stacks)]}))
    done = ground.user.run(ground.directory, ground.directory / OWN, 'process', f'plan://{plan}', '-O', 'json')
    assert ground.outside() == outside, f'something outside changed\n{done.err}'
    assert 'internal error' not in done.err and 'Traceback' not in done.err, done.err
    images = {image['destination'].partition('?')[0].rpartition('/')[2]: image for image in done.json()['images']}
    return [outcome(place / str(number), destination, images[str(number)]) for number in range(len(stacks))]


def uri(place: Path, destination: Destination, stack: Stack) -> str:
    """Return where a stack goes."""
    query = '&'.join(filter(None, (*destination.options, stack.options)))
    return f'{destination.scheme}://{place}' + (f'?{query}' if query else '')


def outcome(place: Path, destination: Destination, image: dict[str, Any]) -> Outcome:
    """Return the tree of one image without what overlayfs does not keep, numbers of names; or the error."""
    if image['outcome'] != 'verified':
        failure = str(image['failure']).replace(str(place), 'bundle')
        return re.sub('layer sha256:[0-9a-f]+: ', '', failure)  # of layers unpacked in parallel, either reaches a limit
    with destination.root(place) as root:
        return {path: replace(node, links=0) for path, node in read_tree(root).items()}


def test_the_outcome_is_that_of_a_bundle(ground: Ground) -> None:
    stacks = list(catalogue(ground, ground.directory / OWN / 'archives'))
    assert len(stacks) > 250
    if not (EVERYTHING or ground.user.is_root):
        stacks = stacks[::3]  # some of each test: what another user may not do is the same for all of its cases
    outside = ground.outside()
    bundle, *others = [written(ground, stacks, destination, outside) for destination in ALL.values()]
    different = [f'{destination.scheme}: {stack.test}: {difference(expected, found)}'
                 for destination, outcomes in zip(list(ALL.values())[1:], others, strict=True)
                 for stack, expected, found in zip(stacks, bundle, outcomes, strict=True)
                 if expected != found and is_alike(stack, destination)]
    assert not different, '\n'.join(different)


def difference(one: Outcome, other: Outcome) -> str:
    """Return the paths that two trees do not have in common, or the errors."""
    if isinstance(one, str) or isinstance(other, str):
        return ' <-> '.join(each[-200:] if isinstance(each, str) else 'a tree' for each in (one, other))
    return str([(path, one.get(path), other.get(path)) for path in sorted(one.keys() | other.keys())
                if one.get(path) != other.get(path)])


def is_alike(stack: Stack, destination: Destination) -> bool:
    """Return whether a destination must give a stack the tree that a bundle has, as far as memory and layers go."""
    merged = stack.ground == 'merging_ground' or stack.test in REACHING_DOWN and stack.layers > 1
    return destination.merges or not merged and 'max_names' not in stack.options
