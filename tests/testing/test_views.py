"""catch_up: the views have what was sent, or the test learns why not."""

import anyio
import pytest

from tests.projections.domain import ParcelRow, Sent, model, only, parcel, parcels, record
from whence.projections.projection import Projection, on
from whence.projections.query import get
from whence.projections.views import Views
from whence.projections.worker import Worker
from whence.store.eventstore import EventStore
from whence.store.recorded import Recorded
from whence.testing.views import catch_up


class Broken(Projection[ParcelRow], on_failure="halt"):
    @on(Sent)
    def sent(self, event: Sent, record: Recorded, views: Views[ParcelRow]) -> None:
        raise ValueError("this projection has a mistake")


async def test_the_views_have_what_is_in_the_log(store: EventStore) -> None:
    for number in range(3):
        await record(store, parcel(number), Sent("Riga"))
        await catch_up(store, model)
        assert await get(store, parcels, str(number)) is not None


async def test_a_view_that_does_not_come_says_why(store: EventStore) -> None:
    await record(store, parcel(1), Sent("Riga"))

    with pytest.raises(TimeoutError, match="is it halted") as caught:
        await catch_up(store, only(Broken))

    (note,) = caught.value.__notes__
    assert "cannot apply" in note
    assert "this projection has a mistake" in note


async def test_one_without_an_end_is_given_up(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def idle(self: Worker) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(Worker, "run", idle)
    await record(store, parcel(1), Sent("Riga"))

    with pytest.raises(TimeoutError, match="is a worker running"):
        await catch_up(store, model, timeout_s=0.1)
