"""Appends on their way: sent, and sent again until it is known what became of them."""

import time
from collections.abc import Sequence
from typing import Any, cast

import anyio

from whence.store.append import Append, Outcome, append_call, parse_answers
from whence.store.durability import Durability, TooFewReplicas
from whence.store.errors import (
    DurabilityRefused,
    OutcomeUnknown,
    ServerRefused,
    StoreUnavailable,
)
from whence.store.keys import Keys
from whence.store.script import ScriptCall, run_scripts
from whence.store.wire import ConnectionLost, ServerError, Wire

# Seconds. How long an append is repeated until its outcome is known.
RESOLVE_FOR = 15.0
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5

# The server says that it executed nothing, and that this will pass.
_TRANSIENT = ("LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY")


class Appender:
    """Makes appends that may share a call, over a connection for nothing else.

    Args:
        durability: what an answer waits for.
        resolve_for: seconds for which a lost answer is asked for again.
    """

    def __init__(self, keys: Keys, wire: Wire, durability: Durability, resolve_for: float) -> None:
        self._keys = keys
        self._wire = wire
        self._durability = durability
        self._resolve_for = resolve_for

    async def append(self, appends: Sequence[Append]) -> list[Outcome | Exception]:
        """Make the appends in one call; answers and raises as ``EventStore.append_many``."""
        return parse_answers(self._keys, appends, await self._resolved(appends))

    async def _resolved(self, appends: Sequence[Append]) -> list[Any]:
        call = append_call(self._keys, appends)
        give_up = time.monotonic() + self._resolve_for
        pause = _FIRST_PAUSE
        in_doubt = False
        while True:
            try:
                return await self._answers(call)
            except (ConnectionLost, StoreUnavailable, TooFewReplicas) as error:
                in_doubt = in_doubt or not isinstance(error, StoreUnavailable)
                failure: Exception = error
            except (ServerError, DurabilityRefused) as error:
                if not str(error).startswith(_TRANSIENT):
                    raise self._refusal(appends, error, in_doubt=in_doubt) from error
                failure = error
            if time.monotonic() > give_up:
                raise self._refusal(appends, failure, in_doubt=in_doubt) from failure
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _answers(self, call: ScriptCall) -> list[Any]:
        """The answers of append.lua, once as many replicas as promised have what it wrote.

        WAIT asks for all that the server had written by then, so a duplicate's answer, which writes
        nothing, waits for the replicas like the first one.
        """
        wait = self._durability.wait
        if wait is None:
            (reply,) = await run_scripts(self._wire, [call])
        else:
            reply, acknowledged = await run_scripts(self._wire, [call], then=[wait])
            if not isinstance(reply, ServerError):
                self._durability.check_acknowledged(acknowledged)
        if isinstance(reply, ServerError):
            raise reply
        return cast("list[Any]", reply)

    def _refusal(
        self, appends: Sequence[Append], failure: Exception, *, in_doubt: bool
    ) -> Exception:
        """The error for a failed call: once a reply was lost, only "unknown" is true."""
        what = str(appends[0].stream) if len(appends) == 1 else f"{len(appends)} appends"
        if in_doubt:
            return OutcomeUnknown(f"an append to {what}", str(failure))
        if isinstance(failure, (StoreUnavailable, DurabilityRefused)):
            return failure
        return ServerRefused(f"to append to {what}", str(failure))
