"""A command id that the caller gives is remembered: the same command again changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from tests.actors.domain import Counted, Counter, model
from tests.calls import submitting
from whence import Rejected, Runtime
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.store.append import Append, Outcome, Remember
from whence.store.errors import CommandIdReused, CorruptStore, InvalidId
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId

KIND = model.aggregate("counter")
COUNTER = StreamId("counter", "1")


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, model) as runtime:
        yield runtime


async def ask(runtime: Runtime, command: str, command_id: str, **arguments: Any) -> Receipt:
    request = CommandRequest(KIND, KIND.command(command), "1", arguments, command_id=command_id)
    return await runtime.execute(request)


async def test_the_same_command_again_gets_the_original_answer(
    runtime: Runtime, store: EventStore
) -> None:
    first = await ask(runtime, "count", "c-1", step=3)
    await ask(runtime, "count", "c-2", step=4)

    again = await ask(runtime, "count", "c-1", step=3)

    assert not first.repeated
    assert again.repeated
    assert (again.version, again.position, again.events) == (1, first.position, (Counted(3, 3),))
    assert again.occurred_at_us == first.occurred_at_us
    assert again.created
    assert await store.head(COUNTER) == 2


async def test_also_when_it_would_now_decide_nothing(runtime: Runtime, store: EventStore) -> None:
    await ask(runtime, "count_to", "c-1", limit=2)

    again = await ask(runtime, "count_to", "c-1", limit=2)

    assert again.repeated
    assert again.events == (Counted(1, 1), Counted(1, 2))
    assert await store.head(COUNTER) == 2


async def test_also_after_a_restart_and_from_another_process(
    runtime: Runtime, url: str, namespace: str, store: EventStore
) -> None:
    await ask(runtime, "count", "c-1", step=3)

    async with (
        open_store(url, namespace=namespace) as other_store,
        Runtime(other_store, model) as other,
    ):
        again = await ask(other, "count", "c-1", step=3)

    assert again.repeated
    assert await store.head(COUNTER) == 1


async def test_the_same_id_for_another_command_is_refused(
    runtime: Runtime, store: EventStore
) -> None:
    await ask(runtime, "count", "c-1", step=3)

    with pytest.raises(CommandIdReused, match="'c-1' was used for another command"):
        await ask(runtime, "count", "c-1", step=4)
    with pytest.raises(CommandIdReused):
        await ask(runtime, "count_to", "c-1", limit=3)

    assert await store.head(COUNTER) == 1


async def test_at_once_from_many_callers_it_happens_once(
    runtime: Runtime, store: EventStore, url: str, namespace: str
) -> None:
    async with (
        open_store(url, namespace=namespace) as other_store,
        Runtime(other_store, model) as other,
    ):
        hosts = [runtime, other] * 20
        receipts = await asyncio.gather(*[ask(host, "count", "c-1", step=1) for host in hosts])

    assert {receipt.version for receipt in receipts} == {1}
    assert await store.head(COUNTER) == 1


async def test_in_a_row_with_others_it_harms_none_of_them(
    runtime: Runtime, store: EventStore
) -> None:
    same = [ask(runtime, "count", "c-1", step=1) for _ in range(5)]
    others = [ask(runtime, "count", f"o-{number}", step=1) for number in range(5)]

    receipts = await asyncio.gather(*same, *others)

    assert len({receipt.version for receipt in receipts[:5]}) == 1
    assert len({receipt.version for receipt in receipts}) == 6
    assert await store.head(COUNTER) == 6
    records = [record async for record in store.read(COUNTER)]
    totals = [event for record in records for event in model.events.decode_all(record)]
    assert [event.total for event in totals if isinstance(event, Counted)] == list(range(1, 7))


async def test_another_body_at_once_is_refused(runtime: Runtime, store: EventStore) -> None:
    results = await asyncio.gather(
        ask(runtime, "count", "c-1", step=1),
        ask(runtime, "count", "c-1", step=2),
        return_exceptions=True,
    )

    assert [type(result) for result in results] == [Receipt, CommandIdReused]
    assert await store.head(COUNTER) == 1


async def test_a_refused_command_is_decided_anew(runtime: Runtime) -> None:
    with pytest.raises(Rejected):
        await ask(runtime, "label_as", "c-1", label="x", labelled_by="ann", reason="")
    await ask(runtime, "count", "c-2", step=1)

    receipt = await ask(runtime, "label_as", "c-1", label="x", labelled_by="ann", reason="")

    assert not receipt.repeated


async def test_one_id_may_be_used_for_each_aggregate(runtime: Runtime, store: EventStore) -> None:
    await ask(runtime, "count", "c-1", step=1)
    request = CommandRequest(KIND, KIND.command("count"), "2", {"step": 5}, command_id="c-1")

    assert not (await runtime.execute(request)).repeated


async def test_it_is_remembered_for_as_long_as_was_said(store: EventStore) -> None:
    key = store.keys.command(COUNTER, "c-1")
    async with Runtime(store, model) as runtime:
        await ask(runtime, "count", "c-1", step=1)
        day = await store.ask("PTTL", key)
    await store.ask("DEL", key)
    async with Runtime(store, model, remember_for=60) as runtime:
        await ask(runtime, "count", "c-1", step=1)
        minute = await store.ask("PTTL", key)

    assert 86_000_000 < day <= 86_400_000
    assert 50_000 < minute <= 60_000


async def test_whose_events_are_gone_is_an_error_of_that_command_alone(
    runtime: Runtime, store: EventStore
) -> None:
    await ask(runtime, "count", "c-1", step=1)
    await store.ask("DEL", store.keys.stream(COUNTER))

    async with Runtime(store, model) as restarted:
        first = asyncio.create_task(posted(restarted, planned("c-0", lambda _: Counted(1, 1))))
        lost = posted(restarted, planned("c-1", lambda _: Counted(1, 1)))
        with pytest.raises(CorruptStore, match="where its events no longer are"):
            await lost
        assert (await first).version == 1


async def test_a_command_id_that_cannot_be_part_of_a_key_is_refused(runtime: Runtime) -> None:
    with pytest.raises(InvalidId, match="is not a valid command id"):
        await ask(runtime, "count", "{c}", step=1)


async def test_nobody_is_answered_from_what_a_repeated_command_would_have_done_again(
    runtime: Runtime,
) -> None:
    await ask(runtime, "count", "c-1", step=1)

    def once(state: Counter) -> Counted:
        if state.total > 1:
            raise Rejected(f"the total is {state.total}, and was never stored as such")
        return Counted(1, state.total + 1)

    # While the first is under way the others wait, and are then decided in a row.
    under_way = runtime.send(Counter.label_as, "1", label="x", labelled_by="ann")
    repeated = planned("c-1", lambda state: Counted(1, state.total + 1))
    results = await asyncio.gather(
        under_way, posted(runtime, repeated), posted(runtime, planned("c-2", once))
    )

    assert [receipt.version for receipt in results] == [2, 1, 3]


async def test_nobody_is_refused_on_an_old_state_before_a_repeated_command(
    runtime: Runtime, url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.send(Counter.look, "1")
    gate = asyncio.Event()
    append_many = runtime.store.append_many

    async def slow(appends: Sequence[Append]) -> list[Outcome | Exception]:
        outcomes = await append_many(appends)
        await gate.wait()
        return outcomes

    monkeypatch.setattr(runtime.store, "submit", submitting(slow))
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(posted(runtime, planned("c-0", lambda _: Counted(0, 0))))
        async with open_store(url, namespace=namespace) as store, Runtime(store, model) as other:
            while await store.head(COUNTER) == 0:
                await asyncio.sleep(0.001)
            await ask(other, "count", "c-1", step=1)
        label = runtime.send(Counter.label_as, "1", label="x", labelled_by="ann")
        labelled = tasks.create_task(label)
        repeated = tasks.create_task(
            posted(runtime, planned("c-1", lambda state: Counted(1, state.total + 1)))
        )
        await asyncio.sleep(0)
        gate.set()

    assert [task.result().version for task in (first, labelled, repeated)] == [1, 3, 2]


Decide = Callable[[Any], Counted]


def planned(command_id: str, decide: Decide) -> tuple[str, Decide]:
    """A command that is decided although it is remembered: its caller looked a moment too early."""
    return command_id, decide


async def posted(runtime: Runtime, command: tuple[str, Decide]) -> Receipt:
    command_id, decide = command
    request = CommandRequest(KIND, KIND.command("count"), "1", {"step": 1})
    remember = Remember(request.fingerprint, 60_000)
    return await runtime._post(  # pyright: ignore[reportPrivateUsage]
        KIND, "1", decide, command_id=command_id, remember=remember
    )
