"""A reaction worker in a process of its own, for a test to kill: URL, namespace, and where it dies.

"sent" dies once commands are answered and before the checkpoint moves, "fired" once a timer's
command is answered and before the timer is taken away, "committed" right behind a commit; "never"
is for the test to say.
"""

import os
import signal
import sys
from typing import Any

import anyio

from tests.reactions.domain import Clerk, Deadlines, domain, only
from whence import Runtime
from whence.projections.settings import WorkerSettings
from whence.reactions.checkpoint import Checkpoints
from whence.reactions.worker import ReactionWorker
from whence.store.eventstore import open_store

SETTINGS = WorkerSettings(lease_ms=500, poll_ms=20, batch=3, retry_ms=20)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(where: str) -> None:
    """Let the process end at the second chance there."""
    commit, fired = Checkpoints.commit, Checkpoints.fired
    chances = iter([False, True])

    async def commit_or_die(self: Checkpoints, *args: Any) -> None:
        if where == "sent" and next(chances):
            _die()
        await commit(self, *args)
        if where == "committed" and next(chances):
            _die()

    async def fired_or_die(self: Checkpoints, *args: Any) -> None:
        if where == "fired" and next(chances):
            _die()
        await fired(self, *args)

    setattr(Checkpoints, "commit", commit_or_die)  # noqa: B010
    setattr(Checkpoints, "fired", fired_or_die)  # noqa: B010


async def main(url: str, namespace: str, where: str) -> None:
    dying(where)
    async with (
        open_store(url, namespace=namespace) as store,
        Runtime(store, domain.write_model) as runtime,
    ):
        await ReactionWorker(store, runtime, only(Clerk, Deadlines), settings=SETTINGS).run()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
