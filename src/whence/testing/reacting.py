"""Tests of reactions that read as sentences:

    reacting(Approval, domain).to(OrderPlaced("ann", items), of="order/42").then(
        lambda then: then.after("approval", HALF_AN_HOUR, Order.cancel, "42", "late", "whence")
    )

No server and no event loop has a part in them.
"""

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

from whence.domain import Domain
from whence.reactions.reaction import Reaction
from whence.reactions.then import Intent, Then, outline
from whence.store.errors import shown
from whence.store.events import Event
from whence.store.ids import StreamId
from whence.store.recorded import Recorded, microseconds
from whence.testing.words import difference

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def reacting(reaction: type[Reaction], domain: Domain) -> "Reacting":
    """A reaction as this domain would run it. Raises InvalidDomain if it cannot."""
    return Reacting(reaction(domain.write_model), domain)


class Reacting:
    """A reaction that waits for an event; made by ``reacting``."""

    def __init__(self, reaction: Reaction, domain: Domain) -> None:
        self._reaction = reaction
        self._domain = domain

    def to(
        self, event: Event, *, of: str, version: int = 1, occurred_at: datetime = _NOON
    ) -> "Reacted":
        """Let it handle an event.

        An async handler is called without an event loop: what it awaits must answer at once, as a
        double does.

        Args:
            of: the aggregate whose event it is, as ``order/42``.
            occurred_at: when it occurred (aware); timers count from there.

        Raises:
            AssertionError: an async handler waits for something.
            InvalidId: ``of`` names no aggregate.
            Others: whatever the handler raises.
        """
        __tracebackhide__ = True
        record = self._record(event, of, version, occurred_at)
        asked = _driven(self._reaction.handle(record, "a store"))
        said = f"when   {shown(event, 100)} of {of}, to {type(self._reaction).__name__}"
        return Reacted(asked, Then(self._domain.write_model, record, ""), said)

    def _record(self, event: Event, of: str, version: int, occurred_at: datetime) -> Recorded:
        encoded = self._domain.write_model.events.encode(event)
        type_name, _, id_ = of.partition("/")
        return Recorded(
            StreamId.checked(type_name, id_),
            version,
            partition=0,
            position=version,
            type=encoded.type,
            schema_version=encoded.schema_version,
            data=encoded.data,
            metadata_json=b"",
            command_id="a command",
            occurred_at_us=microseconds(occurred_at),
            checksum=0,
        )


class Reacted:
    """What an event has led to; made by ``Reacting.to``. Each method raises AssertionError."""

    def __init__(self, asked: Sequence[Intent], then: Then, said: str) -> None:
        self._asked = asked
        self._then = then
        self._said = said

    def then(self, expected: Callable[[Then], object]) -> None:
        """It asks for exactly what ``expected`` asks for, in this order."""
        __tracebackhide__ = True
        expected(self._then)
        self._compare(self._then.intents)

    def then_nothing(self) -> None:
        """It asks for nothing."""
        __tracebackhide__ = True
        self._compare([])

    def _compare(self, expected: Sequence[Intent]) -> None:
        __tracebackhide__ = True
        if list(expected) != list(self._asked):
            lines = difference(_lines(expected), _lines(self._asked))
            told = [f"{'then' if number == 0 else '':7}{line}" for number, line in enumerate(lines)]
            legend = "       (- expected, + actual)"
            message = "\n".join(["it asks for something else", "", self._said, *told, legend])
            raise AssertionError(message)


def _lines(intents: Sequence[Intent]) -> list[str]:
    return [outline(intent) for intent in intents] or ["nothing"]


def _driven(handling: Coroutine[Any, Any, list[Intent]]) -> list[Intent]:
    """The result of a coroutine that never has to wait."""
    try:
        handling.send(None)
    except StopIteration as end:
        found: list[Intent] = end.value
        return found
    handling.close()
    raise AssertionError("the handler waits for something: give it a double that answers at once")
