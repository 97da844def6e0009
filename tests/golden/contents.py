"""What a store tells about its events, as JSON: written down once, and compared from then on."""

from typing import Any

import msgspec

from tests.golden.domain import domain
from whence.actors.history import state_at
from whence.actors.why import explain
from whence.projections.query import find
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.reading import streams_of

# Of a long stream the last versions say enough.
_LAST = 8

model = domain.write_model
projections = domain.read_model.in_redis


async def contents(store: EventStore) -> dict[str, Any]:
    """Events, states and reasons by stream (of the last 8 versions), and the rows of all views."""
    streams = sorted([s for kind in model.aggregates for s in await _streams(store, kind)])
    return {
        "partitions": store.keys.partitions,
        "identity": store.identity.uuid,
        "streams": {str(stream): await _stream(store, stream) for stream in streams},
        "views": {name: await rows(store, name) for name in sorted(projections)},
    }


async def rows(store: EventStore, projection: str) -> dict[str, Any]:
    """The rows of a view by their keys."""
    page = await find(store, projections[projection], limit=1_000)
    return {key: msgspec.to_builtins(row) for key, row in page.rows}


async def _streams(store: EventStore, kind: str) -> list[StreamId]:
    return [stream async for stream in streams_of(store, kind)]


async def _stream(store: EventStore, stream: StreamId) -> dict[str, Any]:
    records = [record async for record in store.read(stream)][-_LAST:]
    kind = model.aggregate(stream.type)
    explained = await explain(store, model.events, kind, stream.id)
    by_version = [
        await state_at(store, model.events, kind, stream.id, version=record.version)
        for record in records
    ]
    by_moment = [
        await state_at(store, model.events, kind, stream.id, at=record.occurred_at)
        for record in records
    ]
    return {
        "events": [
            {
                "version": record.version,
                "position": record.position,
                "type": record.type,
                "schema_version": record.schema_version,
                "data": record.data.decode(),
                "metadata": record.metadata_json.decode(),
                "command_id": record.command_id,
                "occurred_at_us": record.occurred_at_us,
                "checksum": record.checksum,
                "today": [
                    [type(event).__name__, msgspec.to_builtins(event)]
                    for event in model.events.decode_all(record)
                ],
            }
            for record in records
        ],
        "states": [msgspec.to_builtins(found.state) for found in by_version],
        "versions_by_moment": [found.version for found in by_moment],
        "why": {
            field: [msgspec.to_builtins(change) for change in changes[-_LAST:]]
            for field, changes in explained.changes.items()
        },
    }
