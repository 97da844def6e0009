"""Commands wait in bounded mailboxes, for as long as their callers allow, and all get an answer."""

import asyncio
import copy
import gc
import pickle
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.actors.domain import Counter, model
from tests.actors.gate import Gate
from tests.calls import submitting
from whence import Runtime
from whence.actors.actor import MAX_ROW
from whence.actors.deadline import Deadline
from whence.actors.receipt import Receipt
from whence.store.append import Append, Outcome
from whence.store.errors import (
    Conflict,
    DeadlineExceeded,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
    WhenceError,
)
from whence.store.eventstore import EventStore, open_store
from whence.store.ids import StreamId
from whence.store.metadata import Metadata

COUNTER = StreamId("counter", "1")


@pytest.fixture
def gate(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(store, monkeypatch)


@pytest.fixture
async def runtime(store: EventStore) -> AsyncIterator[Runtime]:
    async with Runtime(store, model, max_waiting=8, max_waiting_each=5) as runtime:
        yield runtime


async def sent(runtime: Runtime, count: int, id_: str = "1") -> list[asyncio.Task[Receipt]]:
    """Commands that their actor has taken."""
    tasks = [asyncio.create_task(runtime.send(Counter.count, id_)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def held_back(runtime: Runtime, gate: Gate) -> asyncio.Task[Receipt]:
    """A command on its way to the store; whatever comes for its aggregate now waits behind it."""
    await runtime.send(Counter.count, "1")
    gate.close()
    came = len(gate.arrived)
    (first,) = await sent(runtime, 1)
    await gate.wait_for(came + 1)
    return first


class TestAFullMailbox:
    async def test_of_one_aggregate_refuses_at_once_and_takes_nothing(
        self, runtime: Runtime, gate: Gate, store: EventStore
    ) -> None:
        first = await held_back(runtime, gate)
        waiting = await sent(runtime, 4)

        with pytest.raises(Overloaded, match="counter/1 has 5 commands waiting") as caught:
            await runtime.send(Counter.count, "1")
        others = await sent(runtime, 1, "2")  # of another aggregate are taken

        assert 0.1 <= caught.value.retry_after <= 10
        gate.open()
        receipts = await asyncio.gather(first, *waiting, *others)
        assert [receipt.version for receipt in receipts] == [2, 3, 4, 5, 6, 1]
        assert await store.head(COUNTER) == 6

    async def test_of_the_whole_process_refuses_for_every_aggregate(
        self, runtime: Runtime, gate: Gate
    ) -> None:
        gate.close()
        waiting = [task for i in range(8) for task in await sent(runtime, 1, str(i))]

        for id_ in ("1", "new"):
            with pytest.raises(Overloaded, match="this process has 8 commands waiting"):
                await runtime.send(Counter.count, id_)

        assert runtime.live_actors == 8
        gate.open()
        assert {receipt.version for receipt in await asyncio.gather(*waiting)} == {1}

    async def test_has_room_again_when_commands_are_answered(
        self, runtime: Runtime, gate: Gate
    ) -> None:
        for _ in range(3):
            first = await held_back(runtime, gate)
            waiting = await sent(runtime, 4)
            with pytest.raises(Overloaded):
                await runtime.send(Counter.count, "1")
            gate.open()
            await asyncio.gather(first, *waiting)

    async def test_has_room_again_whatever_became_of_the_commands(
        self, runtime: Runtime, gate: Gate
    ) -> None:
        """Rejected, repeated, late, left by their callers: none of them is counted for ever."""
        for number in range(20):
            first = await held_back(runtime, gate)
            again = runtime.options(command_id="again").send(Counter.count, "1")
            late = runtime.options(within=0.001).send(Counter.count, "1")
            others = [asyncio.create_task(c) for c in (again, late)]
            (left,) = await sent(runtime, 1)
            left.cancel()
            with pytest.raises(DeadlineExceeded):
                await others[1]
            gate.open()
            await asyncio.gather(first, others[0])
            with pytest.raises(Conflict):
                await runtime.options(expected=number + 1_000).send(Counter.count, "1")


class TestADeadline:
    async def test_that_passes_before_the_command_is_decided_drops_it(
        self, runtime: Runtime, gate: Gate, store: EventStore
    ) -> None:
        first = await held_back(runtime, gate)

        with pytest.raises(DeadlineExceeded, match="counter/1 was not decided by its deadline"):
            # The caller learns it while the actor still waits for the store.
            await runtime.options(within=0.01).send(Counter.count, "1")

        gate.open()
        await first
        assert (await runtime.send(Counter.count, "1")).version == 3
        assert await store.head(COUNTER) == 3

    async def test_that_passes_while_the_command_is_with_the_store_changes_nothing(
        self, runtime: Runtime, gate: Gate
    ) -> None:
        await runtime.send(Counter.count, "1")
        gate.close()
        sender = runtime.options(within=0.3)
        command = asyncio.create_task(sender.send(Counter.count, "1"))
        await gate.wait_for(2)

        with pytest.raises(DeadlineExceeded):  # one that came later shows that it has passed
            await sender.send(Counter.count, "1")

        assert not command.done()
        gate.open()
        assert (await command).version == 2

    async def test_counts_again_after_a_conflict(
        self, runtime: Runtime, gate: Gate, store: EventStore, url: str, namespace: str
    ) -> None:
        await runtime.send(Counter.count, "1")
        gate.close()
        sender = runtime.options(within=0.3)
        ours = asyncio.create_task(sender.send(Counter.count, "1"))
        await gate.wait_for(2)
        async with open_store(url, namespace=namespace) as theirs, Runtime(theirs, model) as other:
            await other.send(Counter.count, "1")
        with pytest.raises(DeadlineExceeded):
            await sender.send(Counter.count, "1")
        gate.open()

        with pytest.raises(DeadlineExceeded):
            await ours
        assert await store.head(COUNTER) == 2

    async def test_counts_while_the_aggregate_is_loaded(
        self, runtime: Runtime, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = asyncio.Event()
        read_many = store.read_many

        async def slow(*args: Any, **kwargs: Any) -> Any:
            await answer.wait()
            return await read_many(*args, **kwargs)

        monkeypatch.setattr(store, "read_many", slow)
        with pytest.raises(DeadlineExceeded):
            await runtime.options(within=0.01).send(Counter.count, "1")
        answer.set()

        assert (await runtime.send(Counter.count, "1")).version == 1

    async def test_counts_while_a_command_id_is_looked_up(
        self, runtime: Runtime, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def silent(*args: Any) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(store, "recall", silent)
        with pytest.raises(DeadlineExceeded):
            await runtime.options(within=0.01, command_id="c-1").send(Counter.count, "1")

    @pytest.mark.parametrize("within", [0, -1, float("nan")])
    async def test_that_has_passed_already_takes_nothing(
        self, runtime: Runtime, within: float
    ) -> None:
        with pytest.raises(DeadlineExceeded):
            await runtime.options(within=within).send(Counter.count, "1")
        assert runtime.live_actors == 0

    async def test_that_is_met_is_not_noticed(self, runtime: Runtime) -> None:
        sender = runtime.options(within=60)
        receipts = await asyncio.gather(*[sender.send(Counter.count, "1") for _ in range(5)])

        assert [receipt.version for receipt in receipts] == [1, 2, 3, 4, 5]


class TestOptions:
    async def test_are_those_of_a_request(self, runtime: Runtime, store: EventStore) -> None:
        sender = runtime.options(command_id="c-1", metadata=Metadata(who="ann"))
        receipt = await sender.send(Counter.count, "1", 3)
        again = await sender.send(Counter.count, "1", step=3)

        assert (receipt.repeated, again.repeated) == (False, True)
        (record,) = [record async for record in store.read(COUNTER)]
        assert (record.command_id, record.metadata.who) == ("c-1", "ann")
        with pytest.raises(Conflict, match="at version 1, not 7"):
            await runtime.options(expected=7).send(Counter.count, "1")
        assert (await runtime.options(expected=1).send(Counter.count, "1")).version == 2

    async def test_leave_the_defaults_of_the_command(self, runtime: Runtime) -> None:
        receipt = await runtime.options().send(Counter.count, "1")

        assert receipt.version == 1

    async def test_a_wrong_argument_is_a_wrong_call(self, runtime: Runtime) -> None:
        with pytest.raises(TypeError, match="limit"):
            await runtime.options().send(Counter.count_to, "1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class TestACallerWhoLeaves:
    async def test_while_the_command_waits_does_not_take_it_along(
        self, runtime: Runtime, gate: Gate, store: EventStore
    ) -> None:
        """Once taken, a command is dropped by nothing but its deadline."""
        first = await held_back(runtime, gate)
        left, stays = await sent(runtime, 2)
        left.cancel()
        gate.open()

        assert ((await first).version, (await stays).version) == (2, 4)
        assert left.cancelled()
        assert await store.head(COUNTER) == 4

    async def test_while_the_command_is_with_the_store_does_not_cancel_it(
        self, runtime: Runtime, gate: Gate, store: EventStore
    ) -> None:
        first = await held_back(runtime, gate)
        first.cancel()
        gate.open()

        assert (await runtime.send(Counter.count, "1")).version == 3
        assert await store.head(COUNTER) == 3

    async def test_has_no_longer_a_say_but_its_deadline_has(
        self, runtime: Runtime, gate: Gate, store: EventStore
    ) -> None:
        first = await held_back(runtime, gate)
        sender = runtime.options(within=0.3)
        left = asyncio.create_task(sender.send(Counter.count, "1"))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(DeadlineExceeded):
            await sender.send(Counter.count, "1")
        gate.open()

        assert (await first).version == 2
        assert (await runtime.send(Counter.count, "1")).version == 3


class TestTheEnd:
    async def test_finishes_what_waits_in_full_mailboxes(
        self, store: EventStore, gate: Gate
    ) -> None:
        rows = 3
        full = rows * MAX_ROW
        async with Runtime(store, model, max_waiting=2 * full, max_waiting_each=full) as runtime:
            gate.close()
            one = await sent(runtime, full)
            two = await sent(runtime, full, "2")
            with pytest.raises(Overloaded):
                await runtime.send(Counter.count, "1")
            gate.open()

        for waiting in (one, two):
            versions = [receipt.version for receipt in await asyncio.gather(*waiting)]
            assert versions == list(range(1, full + 1))

    async def test_answers_everybody_when_the_store_does_not(
        self, store: EventStore, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("whence.actors.runtime.DRAIN_FOR", 0.05)
        async with Runtime(store, model) as runtime:
            first = await held_back(runtime, gate)
            waiting = await sent(runtime, 100)

        results = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert isinstance(results[0], OutcomeUnknown)
        assert {type(result) for result in results[1:]} == {StoreUnavailable}
        came = len(gate.arrived)
        gate.open()
        while await store.head(COUNTER) < 2:
            await asyncio.sleep(0.001)

        # What was said to be sent is stored, and nothing of what was said not to be.
        assert came == len(gate.arrived)
        assert await store.head(COUNTER) == 2


class TestAnErrorOfMany:
    async def test_is_an_object_of_its_own_for_each(
        self, runtime: Runtime, gate: Gate, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await held_back(runtime, gate)
        waiting = await sent(runtime, 3)
        gate.open()

        async def away(appends: Sequence[Append]) -> list[Outcome | Exception]:
            raise OutcomeUnknown("an append", "no answer") from TimeoutError("slow")

        monkeypatch.setattr(store, "submit", submitting(away))
        await first
        errors = await asyncio.gather(*waiting, return_exceptions=True)

        assert [type(error) for error in errors] == [OutcomeUnknown] * 3
        assert len({id(error) for error in errors}) == 3
        assert {str(error) for error in errors} == {str(errors[0])}
        for error in errors:
            assert isinstance(error, OutcomeUnknown)
            assert error.cause == "no answer"
            assert isinstance(error.__cause__, TimeoutError)


@pytest.mark.parametrize(
    "error",
    [Overloaded("this process", 7, 0.5), Conflict(COUNTER, None, 3), OutcomeUnknown("x", "y")],
)
def test_an_error_can_be_copied_and_sent_to_another_process(error: WhenceError) -> None:
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


async def test_a_deadline_that_was_met_is_not_kept(store: EventStore) -> None:
    async with Runtime(store, model) as runtime:
        await runtime.options(within=3_600).send(Counter.count, "1")
        await asyncio.sleep(0)
        gc.collect()

        assert not [one for one in gc.get_objects() if type(one) is Deadline]
