"""Facts from elsewhere: the past of aggregates, appended as it happened and not as commands.

A command asks whether something may happen. What another system has recorded did happen, so no
command is asked: its events are appended with the moments at which they occurred.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from whence.actors.model import AggregateType, AnyAggregate, WriteModel
from whence.store.append import Append, Committed, Duplicate, NewEvent, Outcome
from whence.store.errors import InvalidEvent, shown
from whence.store.events import Event
from whence.store.eventstore import EventStore
from whence.store.ids import IMPORTED, StreamId, check_id
from whence.store.metadata import NO_METADATA, Metadata, encode_metadata
from whence.store.recorded import Recorded, microseconds
from whence.store.registry import EventRegistry

# One call to the server stores so many aggregates: one disk write instead of a hundred.
HISTORIES_PER_CALL = 100


class Fact(NamedTuple):
    """An event and the moment at which it occurred (aware)."""

    event: Event
    occurred_at: datetime
    metadata: Metadata = NO_METADATA


class History(NamedTuple):
    """All facts about one aggregate, in their order; the moments never go back."""

    aggregate: type[AnyAggregate]
    id: str
    facts: Sequence[Fact]


@dataclass(slots=True)
class ImportReport:
    """What an import has done so far.

    ``imported``, ``already_there`` and ``conflicts`` count or name aggregates, ``events`` what was
    stored for the imported ones. A conflict is an aggregate that exists with another past; it was
    left as it is.
    """

    imported: int = 0
    already_there: int = 0
    events: int = 0
    conflicts: list[StreamId] = field(default_factory=list[StreamId])


async def import_history(
    store: EventStore,
    model: WriteModel,
    histories: Iterable[History],
    *,
    source: str,
    progress: Callable[[ImportReport], None] = lambda _: None,
) -> ImportReport:
    """Append histories to aggregates that do not exist yet; memory stays bounded.

    Importing again recognises what is there, changes nothing and adds what is missing, so an import
    that was interrupted is simply repeated.

    Args:
        source: names where the facts come from; part of each command id, so it has to be the same
            when the import is repeated.
        progress: called with the report so far, the same object each time.

    Raises:
        InvalidId: the source or the id of an aggregate cannot be one.
        InvalidEvent: an event cannot be stored, or its moment lies before the one before it.
        UnknownAggregate: the model has no such aggregate.
        OutcomeUnknown, StoreUnavailable, ServerRefused: see ``EventStore.append_many``.
        In each case the histories before it may have been imported, as ``progress`` was told.
    """
    check_id(source, field="import source")
    report = ImportReport()
    for batch in _batches(_append_of(model, history, source) for history in histories):
        outcomes = await store.append_many(batch)
        for append, outcome in zip(batch, outcomes, strict=True):
            _count(report, model.events, append, outcome)
        progress(report)
    return report


def _batches(appends: Iterable[Append]) -> Iterator[list[Append]]:
    batch: dict[StreamId, Append] = {}
    for append in appends:
        # In one call a second history of an aggregate would not be recognised as a repetition.
        if len(batch) == HISTORIES_PER_CALL or append.stream in batch:
            yield list(batch.values())
            batch = {}
        batch[append.stream] = append
    if batch:
        yield list(batch.values())


def _append_of(model: WriteModel, history: History, source: str) -> Append:
    kind = model.of_class(history.aggregate)
    stream = StreamId.checked(kind.name, history.id)
    events = [_new_event(model, kind, stream, fact) for fact in history.facts]
    return Append(stream, 0, f"{IMPORTED}{source}:{history.id}", events)


def _new_event(model: WriteModel, kind: AggregateType, stream: StreamId, fact: Fact) -> NewEvent:
    if type(fact.event) not in kind.events:
        raise InvalidEvent(f"{shown(fact.event)} is not an event of {stream}")
    if fact.occurred_at.tzinfo is None:
        raise InvalidEvent(
            f"the moment {fact.occurred_at.isoformat()} of {stream} has no time zone",
            field="occurred_at",
        )
    return NewEvent(
        model.events.encode(fact.event),
        encode_metadata(fact.metadata),
        microseconds(fact.occurred_at),
    )


def _count(
    report: ImportReport, events: EventRegistry, append: Append, outcome: Outcome | Exception
) -> None:
    match outcome:
        case Committed():
            report.imported += 1
            report.events += len(append.events)
        case Duplicate(records) if _same(events, records, append.events):
            report.already_there += 1
        case Exception():
            raise outcome
        case _:
            report.conflicts.append(append.stream)


def _same(registry: EventRegistry, records: Sequence[Recorded], events: Sequence[NewEvent]) -> bool:
    """Whether the log holds exactly these facts: the command id only says who stored them.

    An earlier release may have stored them in an older form, so they are compared as events.
    """
    return [
        (event, record.metadata_json, record.occurred_at_us)
        for record in records
        for event in registry.decode_all(record)
    ] == [(new.encoded.event, new.metadata_json, new.occurred_at_us) for new in events]
