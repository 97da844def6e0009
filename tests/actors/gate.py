"""A store whose appends wait at a gate, so that a test decides when they go out."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.calls import submitting
from whence.store.append import Append, Outcome
from whence.store.eventstore import EventStore


class Gate:
    """Open at first; while it is closed, appends collect before the store.

    Attributes:
        arrived: the appends that came to it, in order.
    """

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrived: list[Append] = []
        self._append_many = store.append_many
        self._open = asyncio.Event()
        self._open.set()
        self._came = asyncio.Condition()
        monkeypatch.setattr(store, "submit", submitting(self._pass))

    async def _pass(self, appends: Sequence[Append]) -> list[Outcome | Exception]:
        async with self._came:
            self.arrived += appends
            self._came.notify_all()
        await self._open.wait()
        return await self._append_many(appends)

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def wait_for(self, count: int) -> None:
        """Wait until so many appends have come."""
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: len(self.arrived) >= count)
