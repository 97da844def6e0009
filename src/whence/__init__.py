"""Whence: event sourcing for Python on Redis and Valkey."""

from msgspec.structs import replace

from whence.actors.aggregate import Aggregate, command
from whence.actors.runtime import Runtime
from whence.domain import Domain
from whence.projections.projection import Projection, on
from whence.projections.views import Views
from whence.store.errors import Rejected
from whence.store.events import Event
from whence.store.eventstore import open_store
from whence.store.recorded import Recorded

__all__ = [
    "Aggregate",
    "Domain",
    "Event",
    "Projection",
    "Recorded",
    "Rejected",
    "Runtime",
    "Views",
    "command",
    "on",
    "open_store",
    "replace",
]
