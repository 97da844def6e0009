"""Hypothesis strategies for the parameters of commands, made from their types."""

from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import inspect

Strategy = SearchStrategy[Any]

# Whole numbers that every reader of JSON keeps exactly, unless the type says more.
_LARGEST = 2**53
# How long lists and texts become at most, unless their type asks for more.
_ITEMS = 5
_CHARACTERS = 40


def arguments(type_: type[msgspec.Struct], overrides: Mapping[str, Strategy]) -> Strategy:
    """Keyword arguments for a command whose parameters are the fields of ``type_``.

    Args:
        overrides: a strategy by parameter name, where the type says too little.

    Raises:
        TypeError: a parameter without such a strategy has a type of which no values can be made up.
    """
    info = inspect.type_info(type_)
    assert isinstance(info, inspect.StructType)
    made = {
        field.name: overrides[field.name] if field.name in overrides else _of_field(field)
        for field in info.fields
    }
    return st.fixed_dictionaries(made)


def _of_field(field: inspect.Field) -> Strategy:
    try:
        return strategy_of(field.type)
    except RecursionError:
        why = "its type contains itself"
    except KeyError as error:
        why = f"its type has {error.args[0].__name__}"
    raise TypeError(
        f"no values can be made up for the parameter {field.name!r}, {why}: give a strategy for it"
    )


def strategy_of(info: inspect.Type) -> Strategy:
    """Values of a type as msgspec describes it, within its bounds.

    Raises:
        KeyError: it is none of those below.
    """
    return _MAKERS[type(info)](info)


class _Sizes(NamedTuple):
    least: int
    most: int

    @classmethod
    def of(cls, info: Any, usual: int = _ITEMS) -> "_Sizes":
        least: int = info.min_length or 0
        most: int | None = info.max_length
        wanted = max(usual, least)
        return cls(least, wanted if most is None else min(wanted, most))

    def allow(self, text: str) -> bool:
        return self.least <= len(text) <= self.most


def _object(info: Any) -> Strategy:
    return st.builds(info.cls, **{field.name: strategy_of(field.type) for field in info.fields})


def _list(info: Any) -> Strategy:
    sizes = _Sizes.of(info)
    return st.lists(strategy_of(info.item_type), min_size=sizes.least, max_size=sizes.most)


def _set(info: Any) -> Strategy:
    sizes = _Sizes.of(info)
    return st.sets(strategy_of(info.item_type), min_size=sizes.least, max_size=sizes.most)


def _dictionary(info: inspect.DictType) -> Strategy:
    sizes = _Sizes.of(info)
    keys, values = strategy_of(info.key_type), strategy_of(info.value_type)
    return st.dictionaries(keys, values, min_size=sizes.least, max_size=sizes.most)


def _text(info: inspect.StrType) -> Strategy:
    sizes = _Sizes.of(info, _CHARACTERS)
    if info.pattern is None:
        return st.text(min_size=sizes.least, max_size=sizes.most)
    return st.from_regex(info.pattern).filter(sizes.allow)


def _bytes(info: inspect.BytesType) -> Strategy:
    sizes = _Sizes.of(info, _CHARACTERS)
    return st.binary(min_size=sizes.least, max_size=sizes.most)


def _integer(info: inspect.IntType) -> Strategy:
    least = info.ge if info.gt is None else info.gt + 1
    most = info.le if info.lt is None else info.lt - 1
    step = info.multiple_of or 1
    numbers = st.integers(-_LARGEST if least is None else least, _LARGEST if most is None else most)
    return numbers.map(lambda number: number - number % step).filter(
        lambda number: least is None or number >= least
    )


def _float(info: inspect.FloatType) -> Strategy:
    return st.floats(
        min_value=info.gt if info.ge is None else info.ge,
        max_value=info.lt if info.le is None else info.le,
        exclude_min=info.gt is not None,
        exclude_max=info.lt is not None,
        allow_nan=False,
        allow_infinity=False,
    )


def _zone(info: Any) -> Strategy:
    return st.just(UTC) if info.tz else st.none()


_MAKERS: dict[type[inspect.Type], Callable[[Any], Strategy]] = {
    inspect.AnyType: lambda _: st.none() | st.booleans() | st.text(max_size=_ITEMS),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.BytesType: _bytes,
    inspect.DataclassType: _object,
    inspect.DateTimeType: lambda info: st.datetimes(timezones=_zone(info)),
    inspect.DateType: lambda _: st.dates(),
    inspect.DecimalType: lambda _: st.decimals(allow_nan=False, allow_infinity=False),
    inspect.DictType: _dictionary,
    inspect.EnumType: lambda info: st.sampled_from(info.cls),
    inspect.FloatType: _float,
    inspect.FrozenSetType: lambda info: _set(info).map(frozenset),
    inspect.IntType: _integer,
    inspect.ListType: _list,
    inspect.LiteralType: lambda info: st.sampled_from(list(info.values)),
    inspect.Metadata: lambda info: strategy_of(info.type),
    inspect.NoneType: lambda _: st.none(),
    inspect.SetType: _set,
    inspect.StrType: _text,
    inspect.StructType: _object,
    inspect.TimeDeltaType: lambda _: st.timedeltas(timedelta(0), timedelta(days=10_000)),
    inspect.TimeType: lambda info: st.times(timezones=_zone(info)),
    inspect.TupleType: lambda info: st.tuples(*map(strategy_of, info.item_types)),
    inspect.UnionType: lambda info: st.one_of(*map(strategy_of, info.types)),
    inspect.UUIDType: lambda _: st.uuids(),
    inspect.VarTupleType: lambda info: _list(info).map(tuple),
}
