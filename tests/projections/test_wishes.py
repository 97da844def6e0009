"""What a person wants done about the generations of a view, and workers do."""

from collections.abc import Callable

import anyio
import pytest

from tests.projections.domain import (
    QUICK,
    CountRow,
    Counts,
    Sent,
    counts,
    only,
    parcel,
    record_many,
    view_of,
    working,
)
from whence.projections.compared import Compared, last_compared
from whence.projections.comparison import Difference
from whence.projections.generations import Generations, generations
from whence.projections.projection import Projector
from whence.projections.rebuild import rebuild
from whence.projections.status import status, wait_until_caught_up
from whence.projections.succession import Succession
from whence.projections.wishes import Action, Then, Wish
from whence.store.errors import CorruptStore, NoGeneration, RevisionMismatch
from whence.store.eventstore import EventStore
from whence.store.wire import Arg, Reply

PARCELS = 40


async def some_history(store: EventStore) -> None:
    await record_many(store, [parcel(n) for n in range(PARCELS)], Sent("Riga", 10))


async def want(
    store: EventStore, action: Action, number: int, then: Then = "switch", of: Projector = counts
) -> None:
    await Succession(store, of).want(Wish(action, number, "ann", of.revision, then))


async def until(store: EventStore, condition: Callable[[Generations], bool]) -> Generations:
    """The generations of the view as soon as they are as wanted."""
    with anyio.fail_after(30):
        while not condition(found := await generations(store, counts)):
            await anyio.sleep(0.02)
    return found


async def test_a_rebuild_is_made_and_shown_by_a_worker(store: EventStore) -> None:
    await some_history(store)
    async with working(store):
        await wait_until_caught_up(store, counts)
        await want(store, "rebuild", 1)
        found = await until(store, lambda found: found.live == 2)
    assert (found.previous, found.building, found.wish) == (1, None, None)
    assert len(await view_of(store, counts)) == PARCELS


async def test_a_rebuild_waits_for_a_worker_and_then_for_a_person(store: EventStore) -> None:
    await some_history(store)
    await want(store, "rebuild", 1, "wait")
    found = await generations(store, counts)
    assert (found.building, found.wish) == (None, Wish("rebuild", 1, "ann", "1", "wait"))

    async with working(store):
        await until(store, lambda found: found.building == 2)
        await wait_until_caught_up(store, counts.generation(2))
        assert (await generations(store, counts)).live == 1
        await want(store, "switch", 2)
        await until(store, lambda found: found.live == 2)


async def test_half_a_generation_outlives_its_worker(store: EventStore) -> None:
    """Workers come and go; readers never see the one that is not finished."""
    await some_history(store)
    async with working(store):
        await want(store, "rebuild", 1, "wait")
        await until(store, lambda found: found.building == 2)
    assert (await generations(store, counts)).live == 1
    await want(store, "switch", 2)
    async with working(store):
        await until(store, lambda found: found.live == 2)
    assert len(await view_of(store, counts)) == PARCELS


async def test_going_back_brings_the_previous_one_up_to_date_first(store: EventStore) -> None:
    await some_history(store)
    await rebuild(store, counts, settings=QUICK)
    await record_many(store, [parcel(f"late-{n}") for n in range(5)], Sent("Oslo", 1))
    async with working(store):
        await want(store, "rollback", 1)
        found = await until(store, lambda found: found.live == 1)
        assert (found.previous, found.wish) == (2, None)
        assert len(await view_of(store, counts)) == PARCELS + 5


async def test_what_is_given_up_is_dropped(store: EventStore) -> None:
    await some_history(store)
    async with working(store):
        await want(store, "rebuild", 1, "wait")
        await until(store, lambda found: found.building == 2)
        await want(store, "abandon", 2)
        found = await until(store, lambda found: not (found.building or found.dropping))
        assert (found.live, found.newest, found.wish) == (1, 2, None)

        await want(store, "rebuild", 2)
        await until(store, lambda found: found.live == 3)
        await want(store, "drop", 1)
        await until(store, lambda found: not (found.previous or found.dropping))


async def test_what_is_taken_back_is_not_done(store: EventStore) -> None:
    await some_history(store)
    await want(store, "rebuild", 1)
    await Succession(store, counts).take_back()
    async with working(store):
        await wait_until_caught_up(store, counts)  # so the worker has looked what is wanted
    assert (await generations(store, counts)).newest == 1


@pytest.mark.parametrize(
    ("action", "number"),
    [("rebuild", 2), ("switch", 1), ("switch", 2), ("rollback", 1), ("abandon", 2), ("drop", 1)],
)
async def test_what_is_not_there_cannot_be_wanted(
    store: EventStore, action: Action, number: int
) -> None:
    with pytest.raises(NoGeneration, match=f"there is nothing to {action}"):
        await want(store, action, number)
    assert (await generations(store, counts)).wish is None


async def test_a_wish_is_void_once_others_came_first(store: EventStore) -> None:
    await want(store, "rebuild", 1)
    await rebuild(store, counts, settings=QUICK)
    found = await generations(store, counts)
    assert (found.live, found.wish) == (2, None)
    with pytest.raises(NoGeneration):
        await want(store, "rebuild", 1)


class Other(Counts, name="counts", version=2):
    """The same view by another version of the code."""


async def test_workers_of_other_code_leave_it_alone(store: EventStore) -> None:
    newer = only(Other).projector("counts")
    await some_history(store)
    await rebuild(store, counts, settings=QUICK)
    await want(store, "rebuild", 2, of=newer)
    await record_many(store, [parcel("late")], Sent("Oslo", 1))
    async with working(store):
        await wait_until_caught_up(store, counts)  # so the worker has looked what is wanted
    assert (await generations(store, counts)).newest == 2
    async with working(store, only(Other)):
        found = await until(store, lambda found: found.live == 3)
    assert found.live_revision == "2"
    with pytest.raises(RevisionMismatch, match="only workers of that code"):
        await want(store, "rollback", 2, of=newer)


async def test_a_wish_that_cannot_be_read_is_an_error(store: EventStore) -> None:
    await store.ask("HSET", store.keys.generations("counts"), "wish", "{")
    with pytest.raises(CorruptStore, match="what is wanted of a view"):
        await generations(store, counts)
    assert len(await status(store, counts.generation(1))) == store.keys.partitions


async def found_of(store: EventStore, number: int) -> Compared:
    with anyio.fail_after(30):
        while (found := await last_compared(store, counts, number)) is None:
            await anyio.sleep(0.02)
    return found


async def test_what_agrees_goes_live_after_the_comparison(store: EventStore) -> None:
    await some_history(store)
    async with working(store), working(store):
        await wait_until_caught_up(store, counts)
        await want(store, "rebuild", 1, "compare")
        await until(store, lambda found: found.live == 2)
        compared = await found_of(store, 2)
    assert compared.agrees
    assert compared.found is not None
    assert compared.found.rows == PARCELS


async def test_what_was_found_is_asked_for_once_a_look(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = asked = 0
    ask, claim = store.ask, Succession.claim

    async def counting(*command: Arg) -> Reply:
        nonlocal asked
        asked += command == ("GET", store.keys.compared("counts"))
        return await ask(*command)

    async def looking(self: Succession) -> Generations:
        nonlocal looks
        looks += 1
        return await claim(self)

    await Succession(store, counts).begin("person")
    await want(store, "compare", 2)
    monkeypatch.setattr(store, "ask", counting)
    monkeypatch.setattr(Succession, "claim", looking)
    async with working(store, only(Counts)):
        await until(store, lambda found: found.live == 2)
    assert 0 < asked <= looks


async def test_what_differs_waits_for_a_person(store: EventStore) -> None:
    await some_history(store)
    async with working(store):
        await wait_until_caught_up(store, counts)
        await want(store, "rebuild", 1, "wait")
        await until(store, lambda found: found.building == 2)
        await wait_until_caught_up(store, counts.generation(2))
    key = store.keys.view(store.keys.partition(parcel(7)), "counts@2")
    await store.ask("HSET", key, "7", counts.rows.encode("7", CountRow(70)))

    async with working(store):
        await want(store, "compare", 2)
        compared = await found_of(store, 2)
        assert compared.found is not None
        assert compared.found.differences == [Difference("7", "events", 1, 70)]
        assert (await generations(store, counts)).live == 1

        await store.ask("HSET", key, "7", counts.rows.encode("7", CountRow(1)))
        await want(store, "compare", 2)
        await until(store, lambda found: found.live == 2)


async def test_why_it_cannot_be_compared_is_kept_and_the_worker_goes_on(store: EventStore) -> None:
    await some_history(store)
    async with working(store):
        await wait_until_caught_up(store, counts)
        key = store.keys.view(store.keys.partition(parcel(7)), "counts")
        await store.ask("HSET", key, "7", b'{"events":"\xff')
        await want(store, "rebuild", 1, "compare")
        compared = await found_of(store, 2)
        assert not compared.agrees
        assert "DecodeError" in compared.failure
        assert (await generations(store, counts)).live == 1
        await want(store, "switch", 2)
        await until(store, lambda found: found.live == 2)
