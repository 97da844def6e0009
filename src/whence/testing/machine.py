"""Random commands against an aggregate, by Hypothesis:

    TestOrder = aggregate_machine(Order).TestCase

They come in rows that no one would think of writing down.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
from hypothesis.stateful import RuleBasedStateMachine, rule

from whence.actors.aggregate import Aggregate, Decision
from whence.actors.model import CommandType
from whence.store.errors import UnknownField
from whence.testing.history import History, model_of
from whence.testing.strategies import Strategy, arguments

A = TypeVar("A", bound=Aggregate[Any])


class AggregateMachine(RuleBasedStateMachine, Generic[A]):
    """One aggregate, to which commands come in any order. Made by ``aggregate_machine``."""

    aggregate: ClassVar[type[Aggregate[Any]]]
    always: ClassVar[Callable[[Any], object] | None]

    def __init__(self) -> None:
        super().__init__()
        self.history: History[Any] = History(self.aggregate)

    def when(self, spec: CommandType, given: Mapping[str, Any]) -> None:
        """Send a command with these arguments."""
        # As over HTTP: what the types do not allow would never reach the command.
        known = spec.decode(msgspec.json.encode(given))
        self.history.decide(lambda state: spec.function(state, **known))
        check = type(self).always
        if check is not None:
            check(self.history.state)

    def teardown(self) -> None:
        self.history.prove_replays()


def aggregate_machine(
    aggregate: type[A],
    *,
    commands: Sequence[Callable[..., Decision]] | None = None,
    strategies: Mapping[str, Strategy] | None = None,
    always: Callable[[A], object] | None = None,
) -> type[AggregateMachine[A]]:
    """A Hypothesis state machine that sends random commands to one aggregate.

    After every event it compares: the event comes back from storage equal; ``apply`` gives the same
    state for it again and changes nothing in place; each of the last 100 snapshots, read back and
    gone on from, leads to the same state; and in the end a replay finds the same state at every
    version. A command may be rejected; any other exception is a failure, and Hypothesis shows the
    shortest row of commands that leads to it. ``.TestCase`` is what pytest collects.

    Args:
        commands: of the aggregate; all unless given.
        strategies: by parameter ("reason") or by command and parameter ("cancel.reason"), where its
            type says too little. Others are made from the types, within their bounds.
        always: called with the state after each command; raises AssertionError where it is wrong.

    Raises:
        UnknownCommand, UnknownField: a command or strategy names what is not there.
        TypeError: there is no strategy for a parameter's type.
        InvalidDomain: the class contradicts itself.
    """
    specs = _chosen(aggregate, commands)
    overrides = _overrides(aggregate, specs, strategies or {})
    rules = {
        f"when_{spec.name}": _rule(spec, arguments(spec.arguments, overrides[spec.name]))
        for spec in specs
    }
    check = None if always is None else staticmethod(always)
    return type(
        f"{aggregate.__name__}Machine",
        (AggregateMachine,),
        {"aggregate": aggregate, "always": check, **rules},
    )


def _chosen(
    aggregate: type[Aggregate[Any]], commands: Sequence[Callable[..., Decision]] | None
) -> list[CommandType]:
    model = model_of(aggregate)
    if commands is None:
        return list(model.of_class(aggregate).commands.values())
    return [model.of_function(command)[1] for command in commands]


def _overrides(
    aggregate: type[Aggregate[Any]],
    specs: Sequence[CommandType],
    strategies: Mapping[str, Strategy],
) -> dict[str, dict[str, Strategy]]:
    """The strategies of each command, by parameter."""
    found: dict[str, dict[str, Strategy]] = {spec.name: {} for spec in specs}
    places: set[str] = set()
    for spec in specs:
        for field in spec.arguments.__struct_fields__:
            for name in (field, f"{spec.name}.{field}"):  # the longer name says more, and wins
                places.add(name)
                if name in strategies:
                    found[spec.name][field] = strategies[name]
    for name in strategies:
        if name not in places:
            raise UnknownField(f"a command of {aggregate.__name__}", name, sorted(places))
    return found


def _rule(spec: CommandType, given: Strategy) -> Any:
    def when(self: AggregateMachine[Any], arguments: Mapping[str, Any]) -> None:
        self.when(spec, arguments)

    when.__name__ = f"when_{spec.name}"
    return rule(arguments=given)(when)
