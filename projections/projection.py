"""What a team writes: a projection turns events into the rows of a view."""

import copy
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    Self,
    TypeGuard,
    TypeVar,
    overload,
)

import msgspec

from whence.projections.handlers import Decorator
from whence.projections.indexes import Indexes
from whence.projections.rows import Rows
from whence.projections.views import Operations, Views
from whence.store.errors import InvalidDomain, InvalidId, shown
from whence.store.events import Event
from whence.store.ids import check_id, kebab
from whence.store.recorded import Recorded
from whence.store.registry import CODEC_ERRORS, EventRegistry

if TYPE_CHECKING:  # an extra
    from whence.projections.database import Database

P = TypeVar("P")
E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=msgspec.Struct)
W = TypeVar("W", bound=Operations[Any])
HandlerFunction = TypeVar("HandlerFunction", bound=Callable[..., None])
Handler = Callable[[Event, Recorded, Any], None]

_ON = Decorator("on", "__whence_handles__", ("self", "event", "record", "views"))

# What becomes of an event that cannot be applied.
OnFailure = Literal["park", "halt"]


@overload
def on(
    event: type[E], /
) -> Callable[[Callable[[P, E, Recorded, W], None]], Callable[[P, E, Recorded, W], None]]: ...
@overload
def on(
    event: type[Event], second: type[Event], /, *more: type[Event]
) -> Callable[[HandlerFunction], HandlerFunction]: ...
def on(*events: type[Event]) -> Any:
    """Mark a method as the handler of these events: ``handler(self, event, record, views)``.

    It is pure and synchronous: it looks at the event and asks ``views`` for changes; in a
    SqlProjection that is an ``Sql``. What it raises parks the aggregate from that event on, or
    halts the partition: see ``Projector``.
    """

    def mark(function: Callable[..., None]) -> Callable[..., None]:
        _ON.mark(function, events)
        return function

    return mark


class Projector:
    """What every projection has, wherever its view is kept: a name, and handlers for events.

    ``name`` is the class name in kebab-case, or what the class line says:
    ``class OrderList(Projection[OrderRow], name="orders")``. It is part of stored keys: under
    another name the view is built anew.

    ``on_failure`` says what becomes of an event that cannot be applied, and is told by the class
    line as well: "park", the default, sets it and the later events of its aggregate aside, in their
    order, and goes on with all others; "halt" holds up the whole partition. Choose "halt" where a
    row depends on the order of events of several aggregates. A subclass does as its base does.

    ``version`` is raised when the handlers make other rows than before: workers leave a view alone
    that another version has made, until it is made anew. See ``WorkerSettings.rebuild_on_change``.

    An instance stands for the view as readers see it, whichever generation of it that is;
    ``generation`` gives one that stands for a certain generation.

    Args:
        events: decodes the events of the domain.

    Raises:
        InvalidDomain: the class contradicts itself or the domain; the sentence says how.
    """

    kind: ClassVar[Literal["projection", "reaction"]] = "projection"
    name: ClassVar[str]
    on_failure: ClassVar[OnFailure] = "park"
    version: ClassVar[int] = 1
    # Makes what takes the operations of a handler, of one event at a time.
    operations: Callable[[], Operations[Any]]

    # Which generation this instance stands for; None for the one that is live.
    number: int | None = None
    # The generation that was live when this process looked last: where a reader begins to look.
    last_live = 1
    # The names of its tables in a SQL database, which no other projection may have.
    owned: Sequence[str] = ()

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        on_failure: OnFailure | None = None,
        version: int = 1,
        **config: Any,
    ) -> None:
        super().__init_subclass__(**config)
        cls.name = name or kebab(cls.__name__)
        cls.version = version
        if on_failure is not None:
            cls.on_failure = on_failure

    def __init__(self, events: EventRegistry) -> None:
        try:
            check_id(self.name)
        except InvalidId:
            raise InvalidDomain(f"{shown(self.name)} cannot be the name of a projection") from None
        if self.on_failure not in typing.get_args(OnFailure):
            raise InvalidDomain(
                f"{type(self).__name__} cannot do {shown(self.on_failure)} on a failure: choose "
                '"park" or "halt"'
            )
        if type(self.version) is not int or self.version < 1:
            raise InvalidDomain(
                f"the version of {type(self).__name__} is a whole number from 1 on, not "
                f"{shown(self.version)}"
            )
        self._events = events
        self._handlers: Mapping[type[Event], Handler] = _ON.handlers(self, events, _check_plain)
        self._passed_over = events.passed_over(self._handlers)
        self._routes = self._find_routes()
        self._asked = self.operations()  # for the next event; another one once it was used

    def wrap_handlers(self, wrap: Callable[[Handler], Handler]) -> None:
        """Have each handler called through what ``wrap`` makes of it, for spans or measuring."""
        self._handlers = {event: wrap(handler) for event, handler in self._handlers.items()}
        self._routes = self._find_routes()

    @property
    def revision(self) -> str:
        """What shapes the rows of this view: one that was made by another has to be made anew."""
        return str(self.version)

    @property
    def base(self) -> str:
        """The name as the class has it, whichever generation this instance stands for."""
        return self.name.partition("@")[0]

    def generation(self, number: int) -> Self:
        """The same projection for one generation of its view, 1 or more, live or not."""
        other = copy.copy(self)
        name = self.base if number == 1 else f"{self.base}@{number}"
        # What takes the operations is used by one projection at a time.
        other.__dict__.update(name=name, number=number, _asked=self.operations())
        return other

    def handle(self, record: Recorded) -> Sequence[Any]:
        """What the handlers ask for; nothing for events that are surely without a handler.

        An event of an older schema may have become several, or none: all that they ask for is one
        change. A type that is unknown here might be one that a handler waits for under a new name,
        so it is an error.

        Raises whatever a handler raises, UnknownEventType and CorruptStore.
        """
        route = self._routes.get(record.type)
        if route is None or route[0] != record.schema_version:
            return self._handle_other(record)
        _, decode, handler = route
        try:
            event = decode(record.data)
        except CODEC_ERRORS:
            return self._handle_other(record)  # which says what is wrong with it
        asked = self._asked
        try:
            handler(event, record, asked)
        finally:
            if asked.operations:
                self._asked = self.operations()
        return asked.operations or ()

    def _handle_other(self, record: Recorded) -> Sequence[Any]:
        """``handle`` for events of any form."""
        if record.type in self._passed_over:
            return ()
        asked = self.operations()
        for event in self._events.decode_all(record):
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event, record, asked)
        return asked.operations

    def _find_routes(self) -> dict[str, tuple[int, Callable[[bytes], Event], Handler]]:
        """Decoder and handler of the events that are stored as they are today; most are."""
        return {
            stored: (form.version, form.decode, self._handlers[form.cls])
            for stored, form in self._events.forms_of_today().items()
            if form.cls in self._handlers
        }

    def at(self, database: "Database") -> Self:
        """The same projection with its tables in this database, if it has any."""
        return self


class Projection(Projector, Generic[R]):
    """The base class of projections in Redis: one view of rows of the class R, one row per key.

    ``indexes`` names the fields by which rows are found and ordered without reading all of them:
    ``class OrderList(Projection[OrderRow], indexes=["status", "placed_at"])``. They are fields with
    an order, as they are named in JSON. Another set of them is another version of the view.

    Name, failures, arguments and errors are those of ``Projector``.
    """

    operations = Views

    _indexed: ClassVar[Sequence[str]] = ()

    def __init_subclass__(cls, *, indexes: Sequence[str] | None = None, **config: Any) -> None:
        super().__init_subclass__(**config)
        if indexes is not None:
            cls._indexed = tuple(indexes)

    def __init__(self, events: EventRegistry) -> None:
        super().__init__(events)
        self.rows: Rows[R] = Rows(self.name, _row_class(type(self)))
        self.merges = any("merge" in c.__dict__ for c in type(self).__mro__ if c is not Projection)
        self.indexes = Indexes(self.rows, self._indexed)
        if self.merges and self._indexed:
            raise InvalidDomain(
                f"{type(self).__name__} has a merge and cannot have indexes: its rows are put "
                "together when they are read, and an index would have their parts"
            )

    @property
    def revision(self) -> str:
        fields = self.indexes.fields
        kind = "an index" if len(fields) == 1 else "indexes"
        return f"{self.version} with {kind} on {', '.join(fields)}" if fields else super().revision

    def merge(self, left: R, right: R) -> R:
        """The row that two partitions' rows of one key make together.

        Override it when events of different aggregates change the row of one key, as in a count per
        day. The order of the partitions must not matter. A view without it has every key in one
        partition only, as when the key is the aggregate's id.
        """
        raise NotImplementedError(f"{type(self).__name__} has no merge(left, right)")


def in_redis(projection: Projector) -> TypeGuard[Projection[Any]]:
    """Whether its view is rows in Redis."""
    return isinstance(projection, Projection)


def _check_plain(where: str, function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidDomain(f"{where} must be a plain method: it only records what should change")


def _row_class(cls: type[Projection[Any]]) -> type[Any]:
    for base in inspect.getmro(cls):
        for generic in base.__dict__.get("__orig_bases__", ()):
            arguments = typing.get_args(generic)
            if typing.get_origin(generic) is Projection and _is_struct(arguments[0]):
                return arguments[0]
    raise InvalidDomain(
        f"{cls.__name__} does not name its rows: class {cls.__name__}(Projection[SomeStruct])"
    )


def _is_struct(found: Any) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(found, type) and issubclass(found, msgspec.Struct)
