"""What an acknowledged append survives: a promise with a name, held against the server."""

from typing import Literal, NamedTuple

from whence.store.errors import DurabilityRefused, InvalidSetting, StoreUnavailable, shown
from whence.store.server_state import STATE_COMMANDS, ServerState, parse_state
from whence.store.wire import Call, Command, Reply, ServerError

# Milliseconds that one WAIT takes at most; well below the time that a call may take.
REPLICAS_WITHIN_MS = 1_000
MAX_REPLICAS = 9

_REPLICATED = "replicated:"


class Durability(NamedTuple):
    """A promise by name; ``parse`` makes one.

    ``fsync``: an acknowledged event is on the server's disk; it survives kill -9 and power loss.
    ``relaxed``: as the server happens to be set; with ``appendfsync everysec`` a crash can lose
    seconds of acknowledged events, even on a plain kill -9.
    ``replicated:N``: N replicas have received it; it survives the loss of N machines, but not of
    all at once. The server writes a log, with whatever ``appendfsync``.
    """

    mode: Literal["fsync", "relaxed", "replicated"]
    replicas: int = 0

    @classmethod
    def parse(cls, text: str) -> "Durability":
        """Take ``fsync``, ``relaxed`` or ``replicated:N`` with N from 1 to 9.

        Raises:
            InvalidSetting: for anything else.
        """
        if text == "fsync":
            return FSYNC
        if text == "relaxed":
            return RELAXED
        count = text.removeprefix(_REPLICATED)
        if text.startswith(_REPLICATED) and count.isdecimal() and 1 <= int(count) <= MAX_REPLICAS:
            return cls("replicated", int(count))
        raise InvalidSetting(
            f"{shown(text)} is not a durability: use fsync, relaxed, or replicated:N with N from 1 "
            f"to {MAX_REPLICAS}",
            field="durability",
        )

    def __str__(self) -> str:
        return f"{_REPLICATED}{self.replicas}" if self.replicas else self.mode

    @property
    def wait(self) -> Command | None:
        """The command that has to follow each append in the same write, or None.

        On another connection WAIT answers at once, for that one has written nothing.
        """
        return ("WAIT", self.replicas, REPLICAS_WITHIN_MS) if self.replicas else None

    def check_acknowledged(self, acknowledged: Reply) -> None:
        """Take the reply to ``wait``. Raises TooFewReplicas unless enough replicas have it."""
        if isinstance(acknowledged, ServerError):
            raise TooFewReplicas(f"the server refused WAIT: {acknowledged}")
        if acknowledged < self.replicas:
            raise TooFewReplicas(
                f"{acknowledged} of {self.replicas} replicas had it within {REPLICAS_WITHIN_MS} ms"
            )


class TooFewReplicas(Exception):
    """The server wrote an append that too few replicas have: will it survive? Unknown."""


FSYNC = Durability("fsync")
RELAXED = Durability("relaxed")


class Promise(NamedTuple):
    """A durability that a program relies on.

    ``asserted``: the operator vouches for what the server does not let this user see. What it does
    show is believed, whatever was asserted.
    """

    durability: Durability = FSYNC
    asserted: bool = False

    async def check(self, where: str, call: Call) -> ServerState | None:
        """Ask the server over ``call`` and compare; None when nothing is promised.

        Raises:
            DurabilityRefused: the server does less than is promised, or does not show it and
                nobody has asserted it.
            StoreUnavailable: the server is still loading its data.
            ConnectionLost: no answer.
        """
        if self.durability == RELAXED:
            return None
        state = parse_state(await call(STATE_COMMANDS))
        if state.loading:
            raise StoreUnavailable(where, "it is loading its data")
        for setting, needed in self._needed().items():
            self._compare(where, setting, needed, _found(state, setting))
        return state

    async def check_at_start(self, where: str, call: Call) -> None:
        """``check``, and that enough replicas are there: later, each append asks them itself."""
        state = await self.check(where, call)
        wanted = self.durability.replicas
        if state is None or not wanted:
            return
        if state.info and state.replicas < wanted:
            raise DurabilityRefused(
                where,
                f"replicas in step with it: {state.replicas}; durability {self.durability} needs "
                f"{wanted}",
                "start them, or lower the number",
            )
        (answer,) = await call([("WAIT", 0, 0)])
        if isinstance(answer, ServerError):
            raise DurabilityRefused(
                where, f"it does not wait for replicas ({answer})", "allow this user WAIT"
            )

    def _needed(self) -> dict[str, str]:
        # A primary that restarts without a log is empty, and empties its replicas.
        needed = {"appendonly": "yes", "maxmemory-policy": "noeviction"}
        if self.durability == FSYNC:
            needed["appendfsync"] = "always"
        return needed

    def _compare(self, where: str, setting: str, needed: str, found: str | None) -> None:
        if found == needed:
            return
        if found is not None:
            raise DurabilityRefused(
                where,
                f"{setting} is {found}, and durability {self.durability} needs {needed}",
                f"run `CONFIG SET {setting} {needed}` and write it into the server's "
                "configuration, or set WHENCE_DURABILITY=relaxed to accept that acknowledged "
                "events can be lost",
            )
        if not self.asserted:
            raise DurabilityRefused(
                where,
                f"this user may not see whether {setting} is {needed}, which durability "
                f"{self.durability} needs",
                "if you know that it is, set WHENCE_ASSERT_DURABILITY=1; otherwise allow the user "
                "INFO and CONFIG GET, or set WHENCE_DURABILITY=relaxed to accept that acknowledged "
                "events can be lost",
            )


def _found(state: ServerState, setting: str) -> str | None:
    """A setting as the server has it, None if this user cannot see it."""
    if setting == "appendonly":
        return {"1": "yes", "0": "no"}.get(state.info.get("aof_enabled", ""))
    if setting == "maxmemory-policy":
        return state.info.get("maxmemory_policy")
    return state.config.get(setting)
