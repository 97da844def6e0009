"""Middleware around commands, and the metadata that a request gives to its events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.actors.domain import Counted, Counter, model
from whence import Rejected, Runtime
from whence.actors.context import current_metadata, request_context
from whence.actors.middleware import Middleware, Next
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.store.errors import Conflict, InvalidEvent
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId
from whence.store.metadata import NO_METADATA, Metadata

KIND = model.aggregate("counter")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def count(id_: str = "1", **fields: Any) -> CommandRequest:
    return CommandRequest(KIND, KIND.command("count"), id_, {"step": 1}, **fields)


async def metadata_of(store: EventStore, id_: str = "1") -> list[Metadata]:
    return [record.metadata async for record in store.read(StreamId("counter", id_))]


class Recorder:
    """A middleware that writes down what it sees."""

    def __init__(self, name: str = "", seen: list[str] | None = None) -> None:
        self.name = name
        self.seen = [] if seen is None else seen
        self.requests: list[CommandRequest] = []

    async def __call__(self, request: CommandRequest, call_next: Next) -> Receipt:
        self.requests.append(request)
        self.seen.append(f"{self.name} before")
        receipt = await call_next(request)
        self.seen.append(f"{self.name} after")
        return receipt


class TestMiddleware:
    async def test_goes_around_each_other_in_the_order_of_the_list(self, store: EventStore) -> None:
        seen: list[str] = []
        chain = [Recorder("first", seen), Recorder("second", seen)]
        async with Runtime(store, model, middleware=chain) as runtime:
            await runtime.send(Counter.count, "1")

        assert seen == ["first before", "second before", "second after", "first after"]

    async def test_sees_the_same_of_send_and_of_execute(self, store: EventStore) -> None:
        recorder = Recorder()
        async with Runtime(store, model, middleware=[recorder]) as runtime:
            await runtime.send(Counter.count, "1")
            await runtime.send(Counter.label_as, "1", "red", labelled_by="ann")
            await runtime.execute(count(command_id="c-1"))

        bare, labelled, executed = recorder.requests
        assert (bare.kind, bare.command, bare.id) == (KIND, KIND.command("count"), "1")
        assert bare.arguments == {"step": 1}  # what the command's own default says
        assert labelled.arguments == {"label": "red", "labelled_by": "ann", "reason": ""}
        assert (executed.arguments, executed.command_id) == ({"step": 1}, "c-1")

    async def test_may_refuse_before_anything_is_decided(self, store: EventStore) -> None:
        async def clerks_only(request: CommandRequest, call_next: Next) -> Receipt:
            if request.metadata.who != "clerk":
                raise Rejected("only clerks count")
            return await call_next(request)

        async with Runtime(store, model, middleware=[clerks_only]) as runtime:
            with pytest.raises(Rejected, match="only clerks count"):
                await runtime.send(Counter.count, "1")
            with pytest.raises(Rejected, match="only clerks count"):
                await runtime.execute(count())
            assert runtime.live_actors == 0
            assert await store.head(StreamId("counter", "1")) == 0

            await runtime.execute(count(metadata=Metadata(who="clerk")))
            with request_context(Metadata(who="clerk")):
                await runtime.send(Counter.count, "1")
        assert await store.head(StreamId("counter", "1")) == 2

    async def test_is_asked_also_before_a_remembered_answer_is_given(
        self, store: EventStore
    ) -> None:
        allowed = True

        async def guard(request: CommandRequest, call_next: Next) -> Receipt:
            if not allowed:
                raise Rejected("not any more")
            return await call_next(request)

        async with Runtime(store, model, middleware=[guard]) as runtime:
            await runtime.execute(count(command_id="c-1"))
            assert (await runtime.execute(count(command_id="c-1"))).repeated
            allowed = False
            with pytest.raises(Rejected, match="not any more"):
                await runtime.execute(count(command_id="c-1"))

    async def test_may_change_what_is_stored_with_the_events(self, store: EventStore) -> None:
        async def sign(request: CommandRequest, call_next: Next) -> Receipt:
            signed = Metadata(who="gate-7").or_else(request.metadata)
            return await call_next(request._replace(metadata=signed))

        async with Runtime(store, model, middleware=[sign]) as runtime:
            await runtime.execute(count(metadata=Metadata(reason="asked")))

        assert await metadata_of(store) == [Metadata(who="gate-7", reason="asked")]

    async def test_sees_the_errors_and_may_try_again(self, store: EventStore) -> None:
        attempts: list[str] = []

        async def again(request: CommandRequest, call_next: Next) -> Receipt:
            try:
                return await call_next(request)
            except Conflict as error:
                attempts.append(str(error))
                return await call_next(request._replace(expected=error.actual))

        async with Runtime(store, model, middleware=[again]) as runtime:
            await runtime.send(Counter.count, "1")
            assert (await runtime.execute(count(expected=7))).version == 2
        assert attempts == ["counter/1 is at version 1, not 7: read it again and decide anew"]

    async def test_that_a_caller_leaves_does_not_cancel_what_was_passed_on(
        self, store: EventStore
    ) -> None:
        passed_on = asyncio.Event()

        async def slow(request: CommandRequest, call_next: Next) -> Receipt:
            asked = asyncio.ensure_future(call_next(request))
            await asyncio.sleep(0)
            passed_on.set()
            return await asked

        async with Runtime(store, model, middleware=[slow]) as runtime:
            caller = asyncio.create_task(runtime.send(Counter.count, "1"))
            await passed_on.wait()
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert (await runtime.send(Counter.count, "1")).version == 2

    @pytest.mark.parametrize(
        ("args", "kwargs"), [((1, 2), {}), ((1,), {"step": 2}), ((), {"wrong": 1})]
    )
    @pytest.mark.parametrize("middleware", [[], [Recorder()]], ids=["bare", "with middleware"])
    async def test_leaves_a_wrong_call_a_wrong_call(
        self,
        store: EventStore,
        middleware: list[Middleware],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        async with Runtime(store, model, middleware=middleware) as runtime:
            with pytest.raises(TypeError):
                await runtime.send(Counter.count, "1", *args, **kwargs)
        assert await store.head(StreamId("counter", "1")) == 0


class TestMetadata:
    @pytest.fixture
    async def runtime(self, store: EventStore) -> AsyncIterator[Runtime]:
        async with Runtime(store, model) as runtime:
            yield runtime

    async def test_of_a_request_is_stored_with_every_event(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        told = Metadata("ann", "inventory", "story-1", "event-7", TRACE, {"ticket": "7"})

        with request_context(told):
            receipt = await runtime.send(Counter.count_to, "1", 3)

        assert receipt.events == (Counted(1, 1), Counted(1, 2), Counted(1, 3))
        assert await metadata_of(store) == [told] * 3

    async def test_is_empty_without_a_request(self, runtime: Runtime, store: EventStore) -> None:
        await runtime.send(Counter.count, "1")
        await runtime.execute(count())

        assert await metadata_of(store) == [NO_METADATA] * 2
        (record, _) = [r async for r in store.read(StreamId("counter", "1"))]
        assert record.metadata_json == b""

    async def test_of_a_command_comes_before_that_of_its_request(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        notes = {"desk": "4", "shift": "early"}
        with request_context(Metadata("ann", "inventory", "story-1", notes=notes)):
            await runtime.execute(count(metadata=Metadata("bob", notes={"desk": "5"})))
            with request_context(Metadata(reason="correction")):
                await runtime.send(Counter.count, "1")

        assert await metadata_of(store) == [
            Metadata("bob", "inventory", "story-1", notes={"desk": "5", "shift": "early"}),
            Metadata("ann", "correction", "story-1", notes=notes),
        ]

    async def test_of_a_request_without_a_story_gets_one_for_all_its_commands(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        with request_context(Metadata(who="ann")):
            await asyncio.gather(*[runtime.send(Counter.count, id_) for id_ in ("1", "2")])
        with request_context(Metadata(trace=TRACE)):
            await runtime.send(Counter.count, "3")

        (one,), (two,), (traced,) = [await metadata_of(store, id_) for id_ in ("1", "2", "3")]
        assert one == two
        assert len(one.correlation_id) == 32
        assert traced.correlation_id == "0af7651916cd43dd8448eb211c80319c"

    async def test_of_two_requests_at_a_time_is_not_mixed_up(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        async def request(name: str) -> None:
            with request_context(Metadata(who=name, correlation_id=name)):
                for _ in range(5):
                    await runtime.send(Counter.count, name)

        await asyncio.gather(*[request(name) for name in "abc"])

        for name in "abc":
            assert await metadata_of(store, name) == [Metadata(name, correlation_id=name)] * 5
        assert current_metadata() is NO_METADATA

    async def test_that_cannot_be_stored_is_refused(
        self, runtime: Runtime, store: EventStore
    ) -> None:
        wrong: Any = {"a": 1}
        for metadata in (Metadata(who="\ud800"), Metadata(notes=wrong)):
            with pytest.raises(InvalidEvent, match="metadata of an event cannot be stored"):
                await runtime.execute(count(metadata=metadata))
        assert await store.head(StreamId("counter", "1")) == 0
