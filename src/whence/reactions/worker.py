"""A process that answers events with commands, and sends those whose moment has come."""

import os
import secrets
import socket
from collections.abc import Mapping

import anyio

from whence.actors.runtime import Runtime
from whence.projections.settings import WorkerSettings
from whence.reactions.delivery import Counts
from whence.reactions.follower import Follower
from whence.reactions.model import ReactionModel
from whence.store.eventstore import EventStore


class ReactionWorker:
    """Follows the log for every reaction of a domain.

    Any number of workers may run beside each other: each partition of each reaction has one worker
    at a time. docs/reactions.md has what is promised.

    Args:
        runtime: takes the commands; any runtime on the same store will do.
        name: shown as the owner of partitions; the host and process id unless given.
    """

    def __init__(
        self,
        store: EventStore,
        runtime: Runtime,
        reactions: ReactionModel,
        *,
        name: str = "",
        settings: WorkerSettings | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        # Two workers of one name must not take each other's leases for their own.
        owner = f"{self.name}:{secrets.token_hex(4)}"
        self._followers = {
            reaction.name: Follower(store, runtime, reaction, owner, settings or WorkerSettings())
            for reaction in reactions.reactions.values()
        }

    def counts(self) -> Mapping[str, Counts]:
        """What has become of the commands of each reaction in this process, by its name."""
        return {name: follower.delivery.counts for name, follower in self._followers.items()}

    async def run(self) -> None:
        """Work until cancelled, then give the partitions back (within 2 seconds).

        Outages of the server and events that cannot be handled are logged and tried again, for as
        long as it takes; neither ends the worker. It may be run once.
        """
        async with anyio.create_task_group() as tasks:
            for name, follower in self._followers.items():
                tasks.start_soon(follower.run, name=f"react, {name}")
            await anyio.sleep_forever()
