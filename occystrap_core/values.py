"""Immutable values: frozen dataclasses that cost next to nothing to define.

`dataclass(frozen=True)` writes and compiles six functions for each class, which takes 0.8 ms. For the fifty classes of
a copy that was a fifth of the program's start. Here they stand once, and look at the class's fields when called.
"""
from collections.abc import Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

_T = TypeVar('_T')
_set = object.__setattr__  # not by way of __dict__, which would cost every object a dictionary


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[_T]) -> type[_T]:
    """Return the class as what `dataclass(frozen=True)` makes of it; `dataclasses.replace` and `fields` work, too.

    A class made from it must be a value as well. Raises TypeError for what is not offered: `__post_init__`, fields that
    have `init`, `hash` or `kw_only`, and those without a default behind those with one.
    """
    made: Any = dataclass(init=False, repr=False, eq=False)(cls)
    every = fields(made)
    _require_plain(made, every)
    made.__value_names__ = tuple(each.name for each in every)
    made.__value_shown__ = tuple(each.name for each in every if each.repr)
    made.__value_defaults__ = {each.name: each for each in every
                               if each.default is not MISSING or each.default_factory is not MISSING}
    compared = [each.name for each in every if each.compare]
    made.__value_key__ = staticmethod(attrgetter(*compared) if compared else lambda _: ())
    for name, function in _FUNCTIONS.items():
        if name not in cls.__dict__:
            setattr(made, name, function)
    return cls


def _require_plain(made: Any, every: Sequence[Field[Any]]) -> None:
    optional = False
    for each in every:
        has_default = each.default is not MISSING or each.default_factory is not MISSING
        if optional and not has_default or not each.init or each.hash is not None or each.kw_only:
            raise TypeError(f'{made.__name__}.{each.name} is what no value can have')
        optional = has_default
    if hasattr(made, '__post_init__'):
        raise TypeError(f'{made.__name__} has __post_init__, which no value can have')


def _init(self: Any, /, *positional: Any, **named: Any) -> None:
    names = self.__value_names__
    rest = names[len(positional):]
    if len(positional) > len(names) or not named.keys() <= set(rest):
        _refuse(self, positional, named)
    for name, given in zip(names, positional):
        _set(self, name, given)
    for name in rest:
        if name in named:
            _set(self, name, named[name])
        elif name in self.__value_defaults__:
            _set(self, name, _default(self.__value_defaults__[name]))
        else:
            raise TypeError(f'{type(self).__name__} needs {name}')


def _refuse(self: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    names = self.__value_names__
    if len(positional) > len(names):
        raise TypeError(f'{type(self).__name__} takes {len(names)} values, not {len(positional)}')
    twice = [name for name in named if name in names]
    raise TypeError(f'{type(self).__name__} gets {twice[0]} twice' if twice else
                    f'{type(self).__name__} has no {next(iter(named))}')


def _default(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _repr(self: Any) -> str:
    shown = ', '.join(f'{name}={getattr(self, name)!r}' for name in self.__value_shown__)
    return f'{type(self).__qualname__}({shown})'


def _equal(self: Any, other: Any) -> bool:
    return bool(self.__value_key__(self) == self.__value_key__(other)) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(self.__value_key__(self))


def _refuse_to_set(self: Any, name: str, new: Any) -> None:
    raise FrozenInstanceError(f'cannot assign to field {name!r}')


def _refuse_to_delete(self: Any, name: str) -> None:
    raise FrozenInstanceError(f'cannot delete field {name!r}')


_FUNCTIONS = {'__init__': _init, '__repr__': _repr, '__eq__': _equal, '__hash__': _hash,
              '__setattr__': _refuse_to_set, '__delattr__': _refuse_to_delete}
