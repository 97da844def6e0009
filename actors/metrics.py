"""What a runtime counts, in memory; ``runtime.metrics()`` shows it."""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from whence.actors.receipt import Receipt
from whence.store.errors import WhenceError
from whence.store.ids import kebab

# Upper bounds: seconds from a microsecond to a second, and counts up to the limits of a call.
SECONDS = tuple([base * 10.0**power for power in range(-6, 0) for base in (1, 2, 5)])
COUNTS = tuple([float(2**power) for power in range(10)])


class Distribution(msgspec.Struct, frozen=True):
    """How often which values were seen.

    Attributes:
        bounds: upper bounds, included, in rising order.
        counts: of values up to each bound and above the one before it; the last one counts what is
            above all bounds.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        return sum(self.counts)


class Histogram:
    """Counts values by size; ``add`` is on the way of every command."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        self._total += value * times

    def shown(self) -> Distribution:
        return Distribution(self._bounds, tuple(self._counts), self._total)


class TypeMetrics(msgspec.Struct, frozen=True):
    """What happened to the aggregates of one type since the runtime began.

    Attributes:
        live_actors, live_bytes: now, and what their states take (an estimate).
        mailbox_total, mailbox_max: commands without an answer now, of all actors and of the one
            that has most of them.
        commands: by outcome: ``stored``, ``nothing`` (decided no event), ``repeated``, a
            WhenceError by its name (``rejected``, ``conflict``, ``outcome-unknown``), ``failed``
            for any other error, ``left`` when the caller went away before the answer.
        decide_seconds: of each time a command was decided: the mean of its row.
        row_commands: how many commands were decided in a row, and went out together.
        conflicts: how often another process had written first.
        retries: how often a row was decided anew.
        loads: how often a state was loaded from its events.
        passivations: how many actors were let go.
    """

    live_actors: int
    live_bytes: int
    mailbox_total: int
    mailbox_max: int
    commands: dict[str, int]
    decide_seconds: Distribution
    row_commands: Distribution
    conflicts: int
    retries: int
    loads: int
    passivations: int


class Metrics(msgspec.Struct, frozen=True):
    """A look at a runtime.

    Attributes:
        types: by aggregate type.
        call_appends: how many appends each call to the store had.
        look_streams: how many aggregates each look for newer events asked about.
    """

    types: dict[str, TypeMetrics]
    call_appends: Distribution
    look_streams: Distribution

    @property
    def live_actors(self) -> int:
        return sum(one.live_actors for one in self.types.values())

    @property
    def live_bytes(self) -> int:
        return sum(one.live_bytes for one in self.types.values())

    @property
    def mailbox_total(self) -> int:
        return sum(one.mailbox_total for one in self.types.values())

    @property
    def mailbox_max(self) -> int:
        return max((one.mailbox_max for one in self.types.values()), default=0)


class TypeMeter:
    """The counters behind ``TypeMetrics``; ``decided`` and ``answered`` are called all the time."""

    __slots__ = (
        "_commands",
        "_decide_seconds",
        "_rows",
        "_stored",
        "conflicts",
        "loads",
        "passivations",
        "retries",
    )

    def __init__(self) -> None:
        self._stored = 0
        self._commands: Counter[str] = Counter()
        self._rows: Counter[int] = Counter()  # how many, by their number of commands
        self._decide_seconds = Histogram(SECONDS)
        self.conflicts = 0
        self.retries = 0
        self.loads = 0
        self.passivations = 0

    def decided(self, commands: int, seconds: float) -> None:
        """A row of so many commands was decided in so many seconds."""
        self._rows[commands] += 1
        self._decide_seconds.add(seconds / commands, commands)

    def answered(self, receipt: Receipt) -> None:
        """A caller got this receipt."""
        if receipt.events and not receipt.repeated:
            self._stored += 1
        else:
            self._commands["repeated" if receipt.repeated else "nothing"] += 1

    def refused(self, error: BaseException) -> None:
        """A caller got this error, or was cancelled."""
        if isinstance(error, WhenceError):
            self._commands[kebab(type(error).__name__)] += 1
        else:
            self._commands["failed" if isinstance(error, Exception) else "left"] += 1

    def settled(self, receipt: asyncio.Future[Receipt]) -> None:
        """What became of a command whose caller waits for it elsewhere."""
        if receipt.cancelled():
            self.refused(asyncio.CancelledError())
        elif error := receipt.exception():
            self.refused(error)
        else:
            self.answered(receipt.result())

    def shown(
        self, live_actors: int, live_bytes: int, mailbox_total: int, mailbox_max: int
    ) -> TypeMetrics:
        """The counters as they are, with what is only known by looking at the actors."""
        rows = Histogram(COUNTS)
        for commands, times in self._rows.items():
            rows.add(commands, times)
        return TypeMetrics(
            live_actors,
            live_bytes,
            mailbox_total,
            mailbox_max,
            {"stored": self._stored, **self._commands},
            self._decide_seconds.shown(),
            rows.shown(),
            self.conflicts,
            self.retries,
            self.loads,
            self.passivations,
        )


class Meters:
    """All that one runtime counts."""

    def __init__(self, types: Iterable[str]) -> None:
        self.types: Mapping[str, TypeMeter] = {name: TypeMeter() for name in types}
        self.call_appends = Histogram(COUNTS)
        self.look_streams = Histogram(COUNTS)
