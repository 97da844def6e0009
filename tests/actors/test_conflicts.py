"""Two processes, one aggregate: the second decides anew, and nobody sees what is not stored."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from tests.actors.domain import Counted, Counter, model
from tests.actors.gate import Gate
from tests.calls import submitting
from whence import Rejected, Runtime
from whence.actors.plan import Job
from whence.actors.receipt import Receipt
from whence.store.append import Append, Conflicted, Outcome
from whence.store.errors import Conflict
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId

COUNTER = StreamId("counter", "1")


@pytest.fixture
def gate(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(store, monkeypatch)


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, model) as runtime:
        await runtime.send(Counter.count, "1")
        yield runtime


@pytest.fixture
async def other(url: str, namespace: str) -> AsyncIterator[Runtime]:
    """What another process would do: a store and actors of its own."""
    async with open_store(url, namespace=namespace) as store, Runtime(store, model) as runtime:
        yield runtime


async def test_who_comes_second_decides_anew_on_what_the_answer_brought(
    runtime: Runtime, other: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await other.send(Counter.count_to, "1", 10)

    def unread(*args: Any, **kwargs: Any) -> Any:
        pytest.fail("the answer to the append has the missed events: nothing needs to be read")

    monkeypatch.setattr(runtime.store, "read", unread)
    receipt = await runtime.send(Counter.count, "1", step=5)

    assert (receipt.version, receipt.events) == (11, (Counted(5, 15),))


async def test_what_the_answer_had_no_room_for_is_read(runtime: Runtime, other: Runtime) -> None:
    await other.send(Counter.count_to, "1", 500)

    assert (await runtime.send(Counter.count, "1")).events == (Counted(1, 501),)


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_command_is_decided_at_most_so_often(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    decided: list[str] = []

    async def too_late(appends: Sequence[Append]) -> list[Outcome | Exception]:
        decided.extend(append.command_id for append in appends)
        return [Conflicted(append.expected, []) for append in appends]

    async with Runtime(store, model, max_attempts=attempts) as runtime:
        await runtime.send(Counter.count, "1")
        with monkeypatch.context() as patched:
            patched.setattr(store, "submit", submitting(too_late))
            with pytest.raises(Conflict, match=f"each of the {attempts} times") as caught:
                await runtime.send(Counter.count, "1")

        assert caught.value.attempts == attempts
        assert len(decided) == attempts
        assert len(set(decided)) == 1  # always under the same command id
        assert (await runtime.send(Counter.count, "1")).version == 2


async def test_a_version_that_the_caller_expects_is_sent_once_and_never_again(
    runtime: Runtime, other: Runtime, gate: Gate
) -> None:
    await other.send(Counter.count, "1")

    with pytest.raises(Conflict, match="is at version 2, not 1") as caught:
        await runtime.options(expected=1).send(Counter.count, "1")

    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert len(gate.arrived) == 1
    assert await runtime.store.head(COUNTER) == 2


async def test_a_version_that_is_newer_than_what_is_known_here_is_looked_up(
    runtime: Runtime, other: Runtime
) -> None:
    await other.send(Counter.count, "1")

    assert (await runtime.options(expected=2).send(Counter.count, "1")).version == 3


async def test_nobody_sees_what_is_decided_and_not_stored(
    runtime: Runtime, other: Runtime, gate: Gate
) -> None:
    gate.close()
    ours = asyncio.create_task(runtime.send(Counter.count, "1", step=100))
    await gate.wait_for(1)

    (actor,) = runtime._live  # pyright: ignore[reportPrivateUsage]
    assert (actor.version, actor.state) == (1, Counter(total=1))
    assert (await runtime.get(Counter, "1")).state == Counter(total=1)
    await other.send(Counter.count, "1")
    gate.open()

    assert (await ours).events == (Counted(100, 102),)  # and not 101, as it was decided first
    assert (actor.version, actor.state) == (3, Counter(total=102))


async def test_nor_is_anybody_refused_because_of_it(
    runtime: Runtime, other: Runtime, gate: Gate
) -> None:
    def once_only(state: Counter) -> Counted:
        if state.total == 102:
            raise Rejected("102 was decided, and never stored")
        return Counted(1, state.total + 1)

    gate.close()
    first = asyncio.create_task(runtime.send(Counter.count, "1"))
    await gate.wait_for(1)
    by_hundred = posted(runtime, lambda state: Counted(100, state.total + 100))
    refused_once = posted(runtime, once_only)
    gate.open()
    gate.close()  # for the two who wait, and go out in one row
    await gate.wait_for(2)
    await other.send(Counter.count, "1")
    gate.open()

    assert (await first).events == (Counted(1, 2),)
    assert (await by_hundred).events == (Counted(100, 103),)
    assert (await refused_once).events == (Counted(1, 104),)


async def test_a_repeated_command_that_lost_its_place_gets_its_first_answer(
    runtime: Runtime, other: Runtime, gate: Gate
) -> None:
    """It is repeated in two processes at once, in a row with others, and stored once."""
    gate.close()
    first = asyncio.create_task(runtime.send(Counter.count, "1"))
    await gate.wait_for(1)
    repeated = asyncio.create_task(runtime.options(command_id="c-1").send(Counter.count, "1", 7))
    last = asyncio.create_task(runtime.send(Counter.count, "1"))
    while len(waiting(runtime)) < 2:
        await asyncio.sleep(0.001)
    theirs = await other.options(command_id="c-1").send(Counter.count, "1", 7)
    gate.open()

    assert theirs.version == 2
    again = await repeated
    assert (again.repeated, again.version, again.events) == (True, 2, theirs.events)
    assert ((await first).version, (await last).version) == (3, 4)
    assert await runtime.store.head(COUNTER) == 4


def posted(runtime: Runtime, decide: Callable[[Any], Counted]) -> asyncio.Future[Receipt]:
    return runtime._post(model.aggregate("counter"), "1", decide)  # pyright: ignore[reportPrivateUsage]


def waiting(runtime: Runtime) -> list[Job]:
    (actor,) = runtime._live  # pyright: ignore[reportPrivateUsage]
    return actor._mailbox  # pyright: ignore[reportPrivateUsage]
