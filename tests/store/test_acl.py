"""Users who may do what Whence needs and no more; others are told which command is missing."""

from collections.abc import Callable, Iterator

import anyio
import pytest

from examples.orders.domain import Approval, Item, Order, domain
from tests.projections.domain import (
    Sent,
    Tally,
    Weighed,
    only,
    parcel,
    record,
    view_of,
    working,
)
from tests.reactions.domain import handled, reacting
from tests.store.domain import Opened, account, append_of
from tests.store.plain_server import PlainServer, plain_server
from tests.store.users import QUOTED, documented
from tests.web.client import Client
from whence import Runtime
from whence.actors.history import state_at
from whence.actors.replay import replay
from whence.actors.request import CommandRequest
from whence.projections.compared import last_compared
from whence.projections.generations import Generations, generations
from whence.projections.parked import parked_sequences, skipped_events
from whence.projections.rebuild import rebuild
from whence.projections.requests import retry, skip
from whence.projections.status import status, wait_until_caught_up
from whence.projections.succession import Succession
from whence.projections.wishes import Action, Then, Wish
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.status import pending_timers, timer_counts
from whence.store.doctor import examine, visit
from whence.store.durability import FSYNC
from whence.store.errors import DurabilityRefused, ServerRefused, StoreUnavailable
from whence.store.eventstore import open_store
from whence.store.reading import read_all
from whence.web.app import create_app
from whence.web.metrics.exposition import exposition
from whence.web.metrics.sources import worker_sources

ORDER_LIST = domain.read_model.projection("order-list")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainServer]:
    with plain_server(tmp_path_factory.mktemp("acl")) as server:
        yield server


@pytest.fixture
def as_user(server: PlainServer) -> Iterator[Callable[..., str]]:
    """The URL of a documented user, with rules changed; all data is gone afterwards."""
    users = documented()

    def url(name: str, *changes: str) -> str:
        server.ask("ACL", "SETUSER", name, "reset", *users[name], *changes)
        return server.url.replace("://", f"://{name}:{QUOTED}@")

    yield url
    server.ask("FLUSHALL")
    for name in users:
        server.ask("ACL", "DELUSER", name)


async def test_the_writer_and_the_worker_may_do_what_they_do(
    as_user: Callable[..., str], server: PlainServer
) -> None:
    writer, worker = as_user("writer"), as_user("worker")
    async with (
        open_store(writer) as store,
        open_store(worker) as theirs,
        Runtime(store, domain.write_model, snapshot_every=2) as runtime,
        Runtime(theirs, domain.write_model) as theirs_too,
        working(theirs, domain.read_model),
        reacting(theirs, Approval, runtime=theirs_too),
    ):
        kind = domain.write_model.aggregate("order")
        order = {"user_id": "ann", "items": (Item("book", 2, 1500),)}
        place = CommandRequest(kind, kind.command("place"), "42", order, command_id="c-1")
        await runtime.execute(place)
        assert (await runtime.execute(place)).repeated
        await runtime.send(Order.ship, "42", carrier="DHL")
        await wait_until_caught_up(store, ORDER_LIST)
        assert (await view_of(store, ORDER_LIST))["42"].status == "shipped"
        await rebuild(theirs, ORDER_LIST)
        await runtime.send(Order.place, "43", user_id="ann", items=(Item("leaflet", 1, 0),))
        await handled(store, domain.reactions.reaction("approval"))
        assert (await runtime.get(Order, "43")).state.approved
    assert server.ask("ACL", "LOG") == []


@pytest.mark.parametrize("user", ["writer", "worker", "reader"])
def test_another_database_and_a_cluster_whose_slots_move_may_be_used(
    as_user: Callable[..., str], server: PlainServer, user: str
) -> None:
    as_user(user)
    for command in (["SELECT", "1"], ["CLUSTER", "SLOTS"], ["ASKING"]):
        assert server.ask("ACL", "DRYRUN", user, *command) == b"OK"


async def test_what_people_ask_for_in_the_explorer_is_left_by_a_writer_and_done_by_a_worker(
    as_user: Callable[..., str], server: PlainServer
) -> None:
    writer, worker = as_user("writer"), as_user("worker")
    async with (
        open_store(writer) as store,
        open_store(worker) as theirs,
        Runtime(store, domain.write_model) as runtime,
        working(theirs, domain.read_model),
    ):
        await runtime.send(Order.place, "42", user_id="ann", items=(Item("book", 2, 1500),))
        await wait_until_caught_up(store, ORDER_LIST)
        views = Succession(store, ORDER_LIST)

        async def want(action: Action, number: int, then: Then = "switch") -> None:
            await views.want(Wish(action, number, "ann", ORDER_LIST.revision, then))

        async def until(condition: Callable[[Generations], bool]) -> None:
            with anyio.fail_after(30):
                while not condition(await views.look()):
                    await anyio.sleep(0.02)

        await want("rebuild", 1, "wait")
        await until(lambda found: found.building == 2)
        await want("compare", 2)
        await until(lambda found: found.live == 2)
        await want("rollback", 1)
        await until(lambda found: found.live == 1)
        await views.take_back()
    assert server.ask("ACL", "LOG") == []


async def test_what_is_parked_is_asked_for_by_a_writer_and_done_by_a_worker(
    as_user: Callable[..., str], server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tally, "broken", frozenset({"1", "2"}))
    views = only(Tally)
    tally = views.projection("tally")
    writer, worker = as_user("writer"), as_user("worker")
    async with open_store(writer) as store, open_store(worker) as theirs:
        async with working(theirs, views):
            for number in (1, 2):
                await record(store, parcel(number), Sent("Riga"), Weighed(2))
            await wait_until_caught_up(store, tally)
            skipped = await skip(store, tally, parcel(1), "a test")
            assert skipped.outcome == "parked"  # at the next one
        monkeypatch.setattr(Tally, "broken", frozenset[str]())
        assert (await retry(theirs, tally, parcel(2))).outcome == "applied"
        wire = theirs.address.wire()
        await Checkpoints(theirs, "approval", wire).restart()
        await wire.close()
    assert server.ask("ACL", "LOG") == []


async def test_every_page_and_all_metrics_are_there_for_a_writer(
    as_user: Callable[..., str], server: PlainServer
) -> None:
    async with (
        open_store(as_user("writer")) as store,
        Runtime(store, domain.write_model) as runtime,
        Client.of(create_app(domain, store, runtime)) as client,
    ):
        await client.placed("42")
        for path in ("/readyz", "/views/order-list", "/explorer", "/explorer/projections"):
            assert (await client.get(path)).status_code == 200, path
        for path in ("/explorer/store", "/explorer/aggregates/order/42", "/orders/42/why"):
            assert (await client.get(path)).status_code == 200, path
        metrics = exposition(worker_sources(domain, store))
        async with Client.of(metrics) as prometheus:
            assert "whence_reaction_timers" in (await prometheus.get("/metrics")).text
    assert server.ask("ACL", "LOG") == []


async def test_the_reader_reads_everything_and_writes_nothing(
    as_user: Callable[..., str], server: PlainServer
) -> None:
    async with (
        open_store(as_user("writer")) as store,
        Runtime(store, domain.write_model) as runtime,
    ):
        await runtime.send(Order.place, "42", user_id="ann", items=(Item("book", 2, 1500),))

    async with open_store(as_user("reader"), durability="relaxed") as store:
        assert len([record async for record in read_all(store)]) == 1
        kind = domain.write_model.aggregate("order")
        assert (await state_at(store, domain.write_model.events, kind, "42")).version == 1
        assert [x.version async for x in replay(store, domain.write_model, Order)] == [1]
        assert await view_of(store, ORDER_LIST) == {}
        assert (await generations(store, ORDER_LIST)).live == 1
        for one in (ORDER_LIST, domain.reactions.reaction("approval")):
            assert sum(part.lag for part in await status(store, one)) == 1
            assert await parked_sequences(store, one) == []
            assert await skipped_events(store, one) == []
        assert await last_compared(store, ORDER_LIST, 2) is None
        assert sum(await timer_counts(store, domain.reactions.reaction("approval"))) == 0
        assert await pending_timers(store, domain.reactions.reaction("approval")) == []
        assert server.ask("ACL", "LOG") == []
        with pytest.raises(ServerRefused, match="evalsha"):
            await store.append(append_of(account(), 0, Opened("ann")))
    server.ask("ACL", "LOG", "RESET")


async def test_the_reader_may_examine_the_server(as_user: Callable[..., str]) -> None:
    async with open_store(as_user("writer")) as store:
        await store.append(append_of(account(), 0, Opened("ann")))

    async with visit(as_user("reader")) as store:
        findings = await examine(store, FSYNC)

    assert not [finding for finding in findings if finding.found == "cannot see"]


@pytest.mark.parametrize("command", ["evalsha", "xadd", "xread", "time"])
async def test_a_user_who_may_not_append_is_told_the_command(
    as_user: Callable[..., str], command: str, server: PlainServer
) -> None:
    async with open_store(as_user("writer")):
        pass
    async with open_store(as_user("writer", "clearselectors", f"-{command}")) as store:
        with pytest.raises(ServerRefused, match=f"'{command}'"):
            await store.append(append_of(account(), 0, Opened("ann")))

    assert server.ask("XLEN", store.keys.feed(store.keys.partition(account()))) == 0
    server.ask("ACL", "LOG", "RESET")


@pytest.mark.parametrize("command", ["hmget", "xrange"])
async def test_a_user_who_may_not_read_is_told_the_command(
    as_user: Callable[..., str], command: str, server: PlainServer
) -> None:
    async with open_store(as_user("writer")):
        pass
    with pytest.raises(ServerRefused, match=f"'{command}'"):
        async with open_store(as_user("writer", f"-{command}")) as store:
            _ = [record async for record in store.read(account())]
    server.ask("ACL", "LOG", "RESET")


async def test_a_user_without_the_keys_of_the_namespace_is_refused(
    as_user: Callable[..., str], server: PlainServer
) -> None:
    with pytest.raises(ServerRefused, match="access"):
        async with open_store(as_user("writer"), namespace="elsewhere"):
            pass
    server.ask("ACL", "LOG", "RESET")


async def test_a_user_who_may_not_see_the_settings_is_told_what_to_allow(
    as_user: Callable[..., str], server: PlainServer
) -> None:
    with pytest.raises(DurabilityRefused, match="allow the user INFO and CONFIG GET"):
        async with open_store(as_user("writer", "-config|get")):
            pass
    server.ask("ACL", "LOG", "RESET")


@pytest.mark.parametrize("user", ["writer:wrong-word", "nobody:wrong-word", "writer"])
async def test_a_wrong_password_is_a_clear_error_without_it(
    as_user: Callable[..., str], server: PlainServer, user: str
) -> None:
    as_user("writer")
    with pytest.raises(StoreUnavailable, match=r"invalid username-password|password") as caught:
        async with open_store(server.url.replace("://", f"://{user}@")):
            pass
    assert "wrong-word" not in str(caught.value)
    server.ask("ACL", "LOG", "RESET")
