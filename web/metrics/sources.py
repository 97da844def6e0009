"""What each kind of process has to tell."""

from whence.actors.runtime import Runtime
from whence.domain import Domain
from whence.store.eventstore import EventStore
from whence.web.live import Live
from whence.web.metering import HttpMeter
from whence.web.metrics.families import Source
from whence.web.metrics.followers import FollowerSource
from whence.web.metrics.http import HttpSource
from whence.web.metrics.runtime import RuntimeSource


def worker_sources(domain: Domain, store: EventStore) -> list[Source]:
    """Of a process that keeps views and reacts."""
    return [FollowerSource(store, domain)]


def web_sources(
    domain: Domain, store: EventStore, runtime: Runtime, live: Live, meter: HttpMeter
) -> list[Source]:
    """Of a process that answers over HTTP; it sees the views as well, for its readers do."""
    return [RuntimeSource(runtime), HttpSource(meter, live), *worker_sources(domain, store)]
