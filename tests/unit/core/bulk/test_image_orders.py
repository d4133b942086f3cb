"""The orders of a bulk run: a mistake that shows itself while images are copied does not stop the others."""
from collections.abc import Iterator
from itertools import islice

import pytest

from occystrap_core import Location, Place, Settings, UsageError
from occystrap_core.bulk.jobs import Job
from occystrap_core.bulk.image_orders import ImageOrders
from occystrap_core.oci import Reference
from occystrap_core.orders import ImageDone
from tests.unit.core.pipeline.memory import MemoryInput, MemoryOutput, memory_plugins


class Named(MemoryInput):
    """Gives each image its tag."""

    def location_of(self, reference: Reference) -> Location:
        """Return the location of one image."""
        return self.location.with_path(reference.familiar)


class OnePlace(MemoryOutput):
    """Takes one image at each path."""

    def place(self, reference: Reference) -> Place:
        """Return the path."""
        return Place('', self.location.path)


def jobs(source: str, *destinations: str) -> tuple[Iterator[Job], list[ImageDone]]:
    """Return the jobs of a run, and its failures so far."""
    failed = list[ImageDone]()
    plugins = memory_plugins(f'{__name__}:OnePlace', f'{__name__}:Named')
    orders = ImageOrders(plugins, Settings(), failed.append)
    return orders.of(source, destinations, (), lambda goes: ''), failed


def test_of_many_images_that_are_listed_again_the_first_are_named_and_the_others_counted() -> None:
    again = ','.join(f'app{number}:v1' for number in range(9))
    plugins = memory_plugins(f'{__name__}:OnePlace', f'{__name__}:Named')
    orders = ImageOrders(plugins, Settings(), list[ImageDone]().append)
    made = list(orders.of(f'memory://{again},{again}', ['memory://shelf-{repository}'], (), lambda goes: ''))
    assert len(made) == 9 and len(orders.notes) == 6
    assert [each.partition(' is ')[2] for each in orders.notes[:5]] == ['listed more than once, and copied once'] * 5
    assert orders.notes[5] == '4 more images are listed more than once, and copied once'


def test_two_images_for_one_place_are_one_failure_once_others_are_on_their_way() -> None:
    made, failed = jobs('memory://one:v1,two:v1,one:v2,three:v1', 'memory://shelf-{repository}')
    assert [each.goes for each in made] == [f'memory://shelf-{name}' for name in ('one', 'two', 'three')]
    assert [each.order.destination for each in failed] == ['memory://shelf-one']
    assert 'would replace another image of this run' in str(failed[0].error)


def test_two_images_for_one_place_at_the_beginning_refuse_the_run() -> None:
    with pytest.raises(UsageError, match='would replace another image of this run'):
        list(jobs('memory://one:v1,one:v2,three:v1', 'memory://shelf-{repository}')[0])


def test_no_image_goes_out_if_one_of_several_destinations_is_impossible() -> None:
    made, failed = jobs('memory://one:v1,two:v1,three:v1', 'memory://shelf-{repository}',
                        'memory://ann:canary@shelf/{repository}')
    with pytest.raises(UsageError, match='has a login in it'):
        list(islice(made, 1))
    assert not failed
