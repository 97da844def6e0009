"""A simulated process: what runs under it can be paused, or killed where it stands."""

from contextvars import ContextVar


class Host:
    """One life of a process.

    Attributes:
        paused_until: seconds of virtual time; nothing of it runs before.
        dead: nothing of it runs any more, not even what would clean up.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.paused_until = 0.0
        self.dead = False


# The host that a callback belongs to; it is inherited by every task and timer that is made there.
HOST: ContextVar[Host | None] = ContextVar("host", default=None)
