"""Two generations compared: what differs is found, and nothing else, also under writes."""

import anyio
import pytest

from tests.projections.domain import (
    NEWER,
    QUICK,
    CountRow,
    Counts,
    Doubled,
    Sent,
    Weighed,
    counts,
    only,
    parcel,
    record,
    record_many,
    view_of,
    working,
)
from tests.projections.stored import writing
from whence.projections.comparison import MOST, Comparison, Difference
from whence.projections.generations import generations
from whence.projections.projection import Projector
from whence.projections.rebuild import rebuild
from whence.projections.status import wait_until_caught_up
from whence.projections.succession import Succession
from whence.projections.verify import compare
from whence.store.errors import ViewBehind
from whence.store.eventstore import EventStore


async def begun(store: EventStore) -> tuple[Projector, Projector]:
    """A live generation, and one beside it that nobody has worked on."""
    await record_many(store, [parcel(n) for n in range(50)], Sent("Riga"))
    async with working(store, only(Counts)):
        await wait_until_caught_up(store, counts)
    number, _ = await Succession(store, counts).begin("person")
    return counts.generation(1), counts.generation(number)


async def test_generations_that_agree_have_no_differences(store: EventStore) -> None:
    old, new = await begun(store)
    seen: list[tuple[int, int]] = []
    found = await compare(
        store,
        old,
        new,
        same_code=True,
        progress=lambda done, total: seen.append((done, total)),
        settings=QUICK,
    )
    assert found == Comparison(50, 0, [])
    assert seen[-1] == (8, 8)


async def test_what_was_planted_is_found(store: EventStore) -> None:
    old, new = await begun(store)
    await compare(store, old, new, same_code=True)

    def view(key: str, generation: Projector) -> str:
        return store.keys.view(store.keys.partition(parcel(key)), generation.name)

    await store.ask("HSET", view("1", new), "1", b'{"events":7}')
    await store.ask("HDEL", view("2", new), "2")
    await store.ask("HDEL", view("3", old), "3")
    await store.ask("HSET", view("4", new), "4", b'{ "events":1 }')  # the same, in other bytes
    found = await compare(store, old, new, same_code=True)
    assert found.rows == 50
    assert found.different == 3
    assert sorted(found.differences) == [
        Difference("1", "events", 1, 7),
        Difference("2", "", {"events": 1}, None),
        Difference("3", "", None, {"events": 1}),
    ]


async def test_many_differences_are_counted_and_the_first_are_told(store: EventStore) -> None:
    await record_many(store, [parcel(n) for n in range(MOST + 50)], Sent("Riga"))
    async with working(store, only(Counts)):
        await wait_until_caught_up(store, counts)
    number, _ = await Succession(store, NEWER).begin("person")
    found = await compare(
        store, counts.generation(1), NEWER.generation(number), same_code=False, settings=QUICK
    )
    assert (found.rows, found.different, len(found.differences)) == (MOST + 50, MOST + 50, MOST)


async def test_it_is_right_while_workers_move_both(store: EventStore) -> None:
    await begun(store)
    async with working(store, only(Counts)), writing(store):
        new = counts.generation(2)
        for _ in range(2):
            found = await compare(store, counts.generation(1), new, same_code=True, settings=QUICK)
            assert (found.rows, found.differences) == (50, [])


async def test_a_live_one_of_other_code_is_waited_for(store: EventStore) -> None:
    """Only its own workers can bring it to where the new one is."""
    old, _ = await begun(store)
    number = await newer_than(store)
    new = NEWER.generation(number)
    found: list[Comparison] = []

    async def verify() -> None:
        found.append(await compare(store, old, new, same_code=False, settings=QUICK))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(verify)
        async with working(store, only(Counts)):
            with anyio.fail_after(30):
                while not found:
                    await anyio.sleep(0.01)
    assert (found[0].rows, found[0].different) == (50, 50)
    assert Difference("1", "events", 2, 4) in found[0].differences


async def newer_than(store: EventStore) -> int:
    """A generation of the newer code that has passed the live one."""
    await Succession(store, counts).retire(2)
    number, _ = await Succession(store, NEWER).begin("person")
    await record(store, parcel(1), Weighed(1))
    async with working(store, only(Doubled)):
        await wait_until_caught_up(store, NEWER.generation(number))
    return number


async def test_a_live_one_of_other_code_without_a_worker_is_said(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whence.projections.verify._PATIENCE", 0.2)
    old, _ = await begun(store)
    number = await newer_than(store)
    with pytest.raises(ViewBehind, match="is a worker running"):
        await compare(store, old, NEWER.generation(number), same_code=False)


async def test_a_check_that_says_no_leaves_readers_what_they_had(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"))
    async with working(store, only(Counts)):
        await wait_until_caught_up(store, counts)

    async def agree(old: Projector, new: Projector) -> bool:
        return not (await compare(store, old, new, same_code=False)).different

    report = await rebuild(store, NEWER, check=agree, settings=QUICK)
    assert not report.live
    assert (await generations(store, NEWER)).building == 2
    assert await view_of(store, counts) == {"1": CountRow(1)}
    report = await rebuild(store, NEWER, settings=QUICK)
    assert (report.live, report.resumed) == (True, True)
    assert await view_of(store, counts) == {"1": CountRow(2)}
