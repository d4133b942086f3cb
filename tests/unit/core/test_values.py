"""`value` beside the frozen dataclasses that it stands for."""
import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import value

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Model:
    """What it should be like."""

    name: str
    size: int = 0
    parts: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default='', repr=False)


@value
class Ours:
    """The same."""

    name: str
    size: int = 0
    parts: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default='', repr=False)

    @cached_property
    def length(self) -> int:
        """Something that is kept."""
        return len(self.name)


@value
class Own:
    """A value with functions of its own, and nothing to compare."""

    name: str = field(compare=False, default='x')

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 7


@value
class Longer(Ours):
    """A value that adds to another."""

    more: int = 1


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (('a',), {}), (('a', 1), {}), ((), {'name': 'a', 'size': 2}), (('a', 1, ['b'], 'c'), {}), (('a',), {'secret': 's'}),
]
WRONG: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}), ((), {'size': 1}), (('a', 1, [], '', 5), {}), (('a',), {'name': 'b'}), (('a',), {'colour': 'red'}),
    (('a', 1), {'size': 1}),
]


@pytest.mark.parametrize(('positional', 'named'), CALLS)
def test_is_made_and_shown_as_a_dataclass_is(positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    expected, made = Model(*positional, **named), Ours(*positional, **named)
    assert all(getattr(made, each.name) == getattr(expected, each.name) for each in fields(made))
    assert [each.name for each in fields(made)] == [each.name for each in fields(expected)]
    assert repr(made) == repr(expected).replace('Model', 'Ours')


@pytest.mark.parametrize(('positional', 'named'), WRONG)
def test_refuses_what_a_dataclass_refuses(positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    for kind in (Model, Ours):
        with pytest.raises(TypeError, match=kind.__name__):
            kind(*positional, **named)


def test_says_what_is_wrong() -> None:
    sayings = ['needs name', 'needs name', 'takes 4 values, not 5', 'gets name twice', 'has no colour',
               'gets size twice']
    for (positional, named), words in zip(WRONG, sayings, strict=True):
        with pytest.raises(TypeError, match=f'Ours {words}'):
            Ours(*positional, **named)


def test_is_compared_by_what_counts() -> None:
    assert Ours('a', parts=['x']) == Ours('a', parts=['y']) != Ours('b')
    assert len({Ours('a', parts=['x']), Ours('a', parts=['y']), Ours('a', 1)}) == 2
    assert Ours('a') != Longer('a') and Ours('a') != 'a' and Longer('a', more=2) != Longer('a')


def test_cannot_be_changed() -> None:
    made = Ours('a')
    for name in ('name', 'length', 'anything'):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, 'b')
    with pytest.raises(FrozenInstanceError):
        del made.name
    assert made.length == 1 and made.name == 'a'


def test_defaults_are_made_for_each() -> None:
    assert Ours('a').parts is not Ours('a').parts


def test_the_functions_of_dataclasses_work() -> None:
    made = Ours('a', 1, ['b'], 'c')
    assert replace(made, size=2) == Ours('a', 2, secret='c') and replace(made).parts is made.parts
    assert copy.deepcopy(made) == made and pickle.loads(pickle.dumps(made)) == made


def test_what_a_class_defines_itself_stays() -> None:
    assert Own('a') == Own('b') and hash(Own()) == 7 and str(Own('c')) == 'c'


def test_can_be_added_to() -> None:
    assert repr(Longer('a', more=2)) == "Longer(name='a', size=0, parts=[], more=2)"


def test_what_is_not_offered_is_refused() -> None:
    for given in (field(init=False), field(hash=False), field(kw_only=True)):
        with pytest.raises(TypeError, match='Odd.name is what no value can have'):
            value(type('Odd', (), {'__annotations__': {'name': str}, 'name': given}))
    with pytest.raises(TypeError, match='Odd.last'):
        value(type('Odd', (), {'__annotations__': {'name': str, 'last': str}, 'name': ''}))
    with pytest.raises(TypeError, match='__post_init__'):
        value(type('Odd', (), {'__post_init__': lambda self: None}))


def test_no_class_costs_start_up_time_as_a_frozen_dataclass() -> None:
    sources = [path for folder in ('occystrap_core', 'plugins') for path in (ROOT / folder).rglob('*.py')]
    assert len(sources) > 100
    assert not [str(path) for path in sources if '\n@dataclass(frozen=True' in path.read_text()]
