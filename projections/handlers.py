"""Which method of a class handles which event: marked by a decorator, checked once, at start."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeGuard

from whence.store.errors import InvalidDomain, shown
from whence.store.events import Event
from whence.store.registry import EventRegistry


class Decorator(NamedTuple):
    """A decorator that makes methods handlers of events, as errors speak of it.

    ``attribute`` is where a method keeps its events, ``parameters`` are what it must take.
    """

    name: str
    attribute: str
    parameters: Sequence[str]

    def mark(self, function: Callable[..., Any], events: Sequence[object]) -> None:
        """What the decorator does; whether these are events is checked by ``handlers``."""
        setattr(function, self.attribute, events)

    def handlers(
        self, owner: object, events: EventRegistry, check: Callable[[str, Callable[..., Any]], None]
    ) -> dict[type[Event], Callable[..., Any]]:
        """The marked methods of ``owner`` by the event that each handles.

        Args:
            events: those of the domain.
            check: raises InvalidDomain for what cannot be a handler here, named by its first
                argument.

        Raises:
            InvalidDomain: there is none, or one contradicts another or the domain.
        """
        cls = type(owner)
        found: dict[type[Event], Callable[..., Any]] = {}
        for name, function in inspect.getmembers(cls, inspect.isfunction):
            for event in getattr(function, self.attribute, ()):
                where = f"{cls.__name__}.{name}"
                check(where, function)
                self._check_parameters(where, function)
                self._check_event(where, event, events)
                if event in found:
                    raise InvalidDomain(f"{cls.__name__} has two handlers for {event.__name__}")
                found[event] = getattr(owner, name)
        if not found:
            raise InvalidDomain(
                f"{cls.__name__} handles no event: mark a method with @{self.name}(SomeEvent)"
            )
        return found

    def _check_parameters(self, where: str, function: Callable[..., Any]) -> None:
        try:
            inspect.signature(function).bind(*self.parameters)
        except TypeError:
            raise InvalidDomain(
                f"{where} must take ({', '.join(self.parameters)}), not "
                f"{inspect.signature(function)}"
            ) from None

    def _check_event(self, where: str, event: object, events: EventRegistry) -> None:
        if not _is_event(event):
            raise InvalidDomain(
                f"{where} is @{self.name}({shown(event)}), which is not an event class"
            )
        if events.types.get(event.__name__) is not event:
            raise InvalidDomain(
                f"{where} handles {event.__name__}, which no aggregate of this domain emits; it "
                f"has: {', '.join(events.types) or 'none'}"
            )


def _is_event(found: object) -> TypeGuard[type[Event]]:
    return isinstance(found, type) and issubclass(found, Event)
