"""An event for the world outside: CloudEvents 1.0 in JSON."""

from datetime import datetime

import msgspec

from whence.store.recorded import Recorded

CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event; ``source`` and ``id`` together name it in the whole world.

    ``subject`` is the aggregate, ``data`` the event as it is stored. The rest are extensions: where
    the event stands in its stream and in its feed, and what is known about it; what is empty is
    left out.
    """

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    data: msgspec.Raw
    version: int
    schemaversion: int
    partition: int
    position: str  # an integer of CloudEvents has 32 bits
    commandid: str
    correlationid: str = ""
    causationid: str = ""
    who: str = ""
    reason: str = ""
    traceparent: str = ""


class CloudEvents:
    """Makes them from the events of one store.

    Args:
        store_uuid: tells this store from any other, also from a copy with other events.
    """

    def __init__(self, store_uuid: str) -> None:
        self._source = f"urn:uuid:{store_uuid}"

    def of(self, record: Recorded) -> CloudEvent:
        known = record.metadata
        return CloudEvent(
            "1.0",
            f"{record.stream}@{record.version}",
            self._source,
            record.type,
            str(record.stream),
            record.occurred_at,
            "application/json",
            msgspec.Raw(record.data),
            record.version,
            record.schema_version,
            record.partition,
            str(record.position),
            record.command_id,
            known.correlation_id,
            known.causation_id,
            known.who,
            known.reason,
            known.trace,
        )
