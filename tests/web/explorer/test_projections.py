"""The page of the projections: what it says of those that lag, stand still, or have no worker."""

from examples.orders import domain
from examples.orders.domain import Approval
from tests.reactions.domain import handled, reacting
from tests.web.client import Client
from tests.web.explorer.html import Html, page
from whence import Runtime
from whence.projections.notes import Note, encode
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

ORDERS = [str(number) for number in range(12)]


async def test_without_a_worker_everything_is_behind(client: Client) -> None:
    await client.placed(*ORDERS)
    found = await page(client, "/explorer/projections")

    for name in ("order-list", "sales-per-day"):
        about = found.text.partition(name)[2]
        assert "behind 12 applied 0" in about
        assert "No worker keeps this view" in about
    assert "Orders and their value by the day" in found.text


async def test_each_partition_is_a_bar_as_high_as_its_lag(
    client: Client, store: EventStore
) -> None:
    await client.placed(*ORDERS)
    found = await page(client, "/explorer/projections")

    count = store.keys.partitions
    lags = dict.fromkeys(range(count), 0)
    for id_ in ORDERS:
        lags[store.keys.partition(StreamId("order", id_))] += 1
    heights = _bars(found)[:count]
    assert [height > 0 for height in heights] == [lag > 0 for lag in lags.values()]
    assert heights.index(max(heights)) in [
        n for n, lag in lags.items() if lag == max(lags.values())
    ]
    text = f"partition 3: {lags[3]} behind, at 0 of {lags[3]}"
    assert text in found.text


def _bars(found: Html) -> list[float]:
    return [float(one["height"]) for one in found.of("rect", **{"class": "bar"})]


async def test_one_that_stands_still_says_why(client: Client, store: EventStore) -> None:
    await client.placed(*ORDERS)
    partition = store.keys.partition(StreamId("order", "1"))
    failure = "OrderPlaced <b>cannot</b> be applied"
    await store.ask("HSET", store.keys.checkpoint(partition, "order-list"), "failure", failure)
    await store.ask("SET", store.keys.lease(partition, "order-list"), "host:1:abc")

    found = await page(client, "/explorer/projections")

    assert f"Partition {partition} stands still at 0 of" in found.text
    assert failure in found.text
    assert "host:1:abc" in found.text
    assert f"{store.keys.partitions - 1} partitions without a worker" in found.text
    assert len(found.of("g", **{"class": "halted"})) == 1


async def test_a_domain_without_projections(accounts: Client) -> None:
    assert "has no projections" in (await page(accounts, "/explorer/projections")).text


async def test_a_reaction_with_its_timers(
    client: Client, store: EventStore, runtime: Runtime
) -> None:
    await client.placed(*ORDERS)
    before = (await page(client, "/explorer/projections")).text.partition("approval reaction")[2]
    assert "behind 12 handled 0" in before
    assert "No worker runs this reaction" in before
    assert "Make it anew" not in before

    async with reacting(store, Approval, runtime=runtime):
        await client.placed("late")
        await handled(store, domain.reactions.reaction("approval"))
    # With an outcome to tell, the page is not that of a moment ago.
    after = await page(client, "/explorer/projections?outcome=applied")
    assert "behind 0 handled 13" in after.text.partition("approval reaction")[2]
    assert "timer waits 1" in after.text


async def test_what_a_reaction_has_parked(client: Client, store: EventStore) -> None:
    await client.placed("42")
    key = store.keys.parked(store.keys.partition(StreamId("order", "42")), "approval")
    note = encode(Note(1, 1, "OrderPlaced", "the bank does not answer")).decode()
    await store.ask("HSET", key, "order/42", f"1769860800000000 {note}")

    found = await page(client, "/explorer/projections")
    assert "Parked in approval" in found.text
    assert "the bank does not answer" in found.text

    # Only a worker sends what a reaction asks for: without one, the wish stays.
    form = {"type": "order", "id": "42"}
    response = await client.post("/explorer/projections/approval/retry", data=form)
    assert response.headers["location"] == "/explorer/projections?outcome=open"
    asked = store.keys.asked(store.keys.partition(StreamId("order", "42")), "approval")
    assert await store.ask("HEXISTS", asked, "order/42")
