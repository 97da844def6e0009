"""A look at a store and its server that writes nothing: what could lose events there?"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from whence.store.address import Address
from whence.store.diagnosis import (
    Finding,
    diagnose,
    failover_finding,
    memory_finding,
    merged,
)
from whence.store.durability import RELAXED, Durability, Promise
from whence.store.errors import StoreUnavailable
from whence.store.eventstore import EventStore
from whence.store.identity import Identity, find
from whence.store.keys import DEFAULT_PARTITIONS, Keys
from whence.store.memory_use import measure
from whence.store.server_state import STATE_COMMANDS, parse_state
from whence.store.wire import ConnectionLost

__all__ = ["Finding", "examine", "visit"]


@asynccontextmanager
async def visit(url: str, *, namespace: str = "whence") -> AsyncGenerator[EventStore]:
    """A store to examine: opened whatever the server's settings are, and never made.

    Where the server has no store of that name, one without events takes its place.

    Raises:
        InvalidSetting: the URL or namespace is not acceptable.
        StoreMismatch: the store was written by another grammar.
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    address = Address.parse(url)
    wire = address.wire()
    try:
        found = await find(wire, address.shown, namespace)
        identity = found or Identity("", DEFAULT_PARTITIONS)
    except ConnectionLost as error:
        raise StoreUnavailable(address.shown, str(error)) from error
    finally:
        await wire.close()
    keys = Keys(namespace, identity.partitions)
    store = EventStore(address, keys, identity, promise=Promise(RELAXED))
    try:
        yield store
    finally:
        await store.close()


async def examine(store: EventStore, durability: Durability) -> list[Finding]:
    """Everything there is to say about a store and its server.

    Args:
        durability: what the programs that write to it promise.

    Raises:
        StoreUnavailable, ServerRefused: the server cannot be read.
    """
    events = sum(await store.feed_heads(range(store.keys.partitions)))
    if store.address.in_memory:
        return [_in_memory(), *_extent(store, events)]
    answers = await store.replies_of_each(*STATE_COMMANDS)
    states = {where: parse_state(replies) for where, replies in answers.items()}
    findings = merged({where: diagnose(state, durability) for where, state in states.items()})
    if store.address.kind in {"cluster", "sentinel"}:
        findings.append(failover_finding(list(states.values()), durability))
    if events:
        findings.append(memory_finding(await measure(store), next(iter(states.values()))))
    return [*findings, *_extent(store, events)]


def _in_memory() -> Finding:
    return Finding(
        "server", "in this process's memory", "warning", "for tests and play: nothing is kept"
    )


def _extent(store: EventStore, events: int) -> list[Finding]:
    partitions = f"{store.keys.partitions}" if store.identity.uuid else "no store here yet"
    return [Finding("events", f"{events:,}"), Finding("partitions", partitions)]
