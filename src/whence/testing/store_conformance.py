"""One suite for all stores. It runs on any server that Whence may keep its events on:

    class TestMyServer(StoreConformance):
        @pytest.fixture
        def url(self) -> str:
            return "redis://127.0.0.1:6379"

It needs pytest and pytest-asyncio, whose mode does not matter: ``pip install 'whence[testing]'``.
"""

from whence.testing.conformance.appending import Appending
from whence.testing.conformance.commands import Commands
from whence.testing.conformance.damage import Damage
from whence.testing.conformance.feeds import Feeds
from whence.testing.conformance.moments import Moments
from whence.testing.conformance.reading import Reading
from whence.testing.conformance.rows import Rows
from whence.testing.conformance.sharing import Sharing

__all__ = ["StoreConformance"]


class StoreConformance(
    Appending,
    Rows,
    Commands,
    Reading,
    Feeds,
    Moments,
    Damage,
    Sharing,
):
    """What every store does. A subclass has a fixture ``url``, which names the server under test.

    Each test has a store of its own there, in a namespace of its own, whose keys it deletes.

    Class attribute ``durability``, "fsync" unless set: what the server keeps, see ``open_store``.
    For a server that is more than one node, replace ``keys_of`` and ``forget_scripts``.
    """
