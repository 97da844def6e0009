"""What a runtime counts."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.actors.domain import Counter, model
from tests.calls import submitting
from whence import Rejected, Runtime
from whence.actors.metrics import Distribution, Histogram, TypeMetrics
from whence.actors.request import CommandRequest
from whence.store.append import Append, Outcome
from whence.store.errors import Conflict
from whence.store.eventstore import EventStore, open_store

KIND = model.aggregate("counter")


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, model) as runtime:
        yield runtime


def counters(runtime: Runtime) -> TypeMetrics:
    return runtime.metrics().types["counter"]


async def test_nothing_has_happened_at_first(runtime: Runtime) -> None:
    seen = runtime.metrics()

    assert (seen.live_actors, seen.live_bytes, seen.mailbox_total, seen.mailbox_max) == (0, 0, 0, 0)
    assert seen.types["counter"].commands == {"stored": 0}
    assert seen.call_appends.count == seen.look_streams.count == 0


async def test_commands_are_counted_by_what_became_of_them(runtime: Runtime) -> None:
    def request(step: int, *, command_id: str = "", expected: int | None = None) -> CommandRequest:
        return CommandRequest(
            KIND, KIND.command("count"), "1", {"step": step}, expected, command_id
        )

    with pytest.raises(Rejected):
        await runtime.send(Counter.label_as, "1", label="x", labelled_by="ann")
    await runtime.execute(request(1, command_id="c-1"))
    await runtime.execute(request(1, command_id="c-1"))
    await runtime.send(Counter.count, "1")
    await runtime.send(Counter.look, "1")
    with pytest.raises(Conflict):
        await runtime.execute(request(1, expected=9))
    with pytest.raises(TypeError):
        await runtime.send(Counter.count, "1", step="no number")  # type: ignore[arg-type]
    leaver = asyncio.create_task(runtime.send(Counter.count, "1"))
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver

    assert counters(runtime).commands == {
        "stored": 2,
        "rejected": 1,
        "repeated": 1,
        "nothing": 1,
        "conflict": 1,
        "failed": 1,
        "left": 1,
    }


async def test_rows_and_calls_are_counted_by_their_size(runtime: Runtime) -> None:
    await runtime.send(Counter.count, "1")
    await asyncio.gather(*[runtime.send(Counter.count, "1") for _ in range(21)])

    seen = runtime.metrics()
    rows = seen.types["counter"].row_commands
    assert rows.total == 22
    assert rows.count == 3  # the first one, one that did not wait, and twenty that did
    assert seen.call_appends.total == 22
    assert seen.types["counter"].decide_seconds.count == 22
    assert seen.types["counter"].decide_seconds.total > 0


async def test_what_waits_in_mailboxes_is_seen(
    runtime: Runtime, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    append_many = store.append_many

    async def late(appends: Sequence[Append]) -> list[Outcome | Exception]:
        await gate.wait()
        return await append_many(appends)

    await asyncio.gather(*[runtime.send(Counter.count, id_) for id_ in "ab"])
    monkeypatch.setattr(store, "submit", submitting(late))
    sent = [asyncio.create_task(runtime.send(Counter.count, id_)) for id_ in "aaaaabbb"]
    await asyncio.sleep(0)

    seen = runtime.metrics()
    assert (seen.mailbox_total, seen.mailbox_max) == (8, 5)
    gate.set()
    await asyncio.gather(*sent)
    assert runtime.metrics().mailbox_total == 0


async def test_conflicts_retries_loads_and_passivations_are_counted(
    store: EventStore, url: str, namespace: str
) -> None:
    async with (
        open_store(url, namespace=namespace) as other_store,
        Runtime(store, model, max_actors=1) as runtime,
        Runtime(other_store, model) as other,
    ):
        await runtime.send(Counter.count, "1")
        await other.send(Counter.count, "1")
        await runtime.send(Counter.count, "1")
        before = counters(runtime)
        await runtime.send(Counter.count, "2")
        after = counters(runtime)

    assert (before.conflicts, before.retries, before.loads, before.passivations) == (1, 1, 1, 0)
    assert (after.conflicts, after.retries, after.loads, after.passivations) == (1, 1, 2, 1)
    assert after.live_actors == 1


async def test_looks_are_counted_by_how_many_aggregates_they_ask_about(runtime: Runtime) -> None:
    await asyncio.gather(*[runtime.send(Counter.count, str(i)) for i in range(5)])
    await asyncio.gather(*[runtime.get(Counter, str(i)) for i in range(5)])

    looks = runtime.metrics().look_streams
    assert (looks.count, looks.total) == (1, 5)


def test_a_value_is_counted_at_the_bound_that_holds_it() -> None:
    histogram = Histogram([1.0, 2.0, 4.0])
    for value in (0.0, 1.0, 1.5, 4.0, 9.0):
        histogram.add(value)
    histogram.add(2.0, times=3)

    assert histogram.shown() == Distribution((1.0, 2.0, 4.0), (2, 4, 1, 1), 21.5)
    assert histogram.shown().count == 8
