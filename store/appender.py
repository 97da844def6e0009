"""Appends on their way: sent, and sent again until it is known what became of them."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import cast

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
from whence.store.script import ScriptCall, evalsha, run_scripts
from whence.store.wire import (
    TRANSIENT,
    ConnectionLost,
    Reply,
    ServerError,
    SocketWire,
    Wire,
    settle,
)

# Seconds. How long an append is repeated until its outcome is known.
RESOLVE_FOR = 15.0
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5

# One outcome per append, or the error that all of the call had; and who takes them.
Outcomes = list[Outcome | Exception] | Exception
Deliver = Callable[[Outcomes], None]


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
        # The event loop holds tasks only weakly.
        self._resolving: set[asyncio.Task[list[Outcome | Exception]]] = set()

    def submit(self, appends: Sequence[Append], deliver: Deliver) -> None:
        """Make the appends in one call, and tell ``deliver`` what became of them.

        Where a connection to one server is open, nearly always, the call is sent before this
        returns, and ``deliver`` is called as its answer is read. Only what goes wrong takes a task.
        """
        call = append_call(self._keys, appends)
        give_up = time.monotonic() + self._resolve_for
        if isinstance(self._wire, SocketWire) and self._durability.wait is None:
            answered = partial(self._answered, appends, call, give_up, deliver)
            if self._wire.post(evalsha(call, self._wire), answered):
                return
        self._resolve(self._resolved(appends, call, give_up), deliver)

    async def append(self, appends: Sequence[Append]) -> list[Outcome | Exception]:
        """``submit``, and wait; answers and raises as ``EventStore.append_many``."""
        outcomes: asyncio.Future[list[Outcome | Exception]]
        outcomes = asyncio.get_running_loop().create_future()
        self.submit(appends, partial(settle, outcomes))
        return await outcomes

    def _answered(
        self,
        appends: Sequence[Append],
        call: ScriptCall,
        give_up: float,
        deliver: Deliver,
        found: list[Reply] | ConnectionLost,
    ) -> None:
        if isinstance(found, ConnectionLost) or isinstance(found[0], ServerError):
            in_doubt = isinstance(found, ConnectionLost)
            self._resolve(self._resolved(appends, call, give_up, in_doubt=in_doubt), deliver)
        else:
            deliver(parse_answers(self._keys, appends, found[0]))

    def _resolve(
        self, outcomes: Coroutine[None, None, list[Outcome | Exception]], deliver: Deliver
    ) -> None:
        task = asyncio.create_task(outcomes)
        self._resolving.add(task)
        task.add_done_callback(partial(self._resolved_by, deliver))

    def _resolved_by(
        self, deliver: Deliver, task: "asyncio.Task[list[Outcome | Exception]]"
    ) -> None:
        self._resolving.discard(task)
        if task.cancelled():  # the program ends
            return
        error = cast("Exception | None", task.exception())
        deliver(task.result() if error is None else error)

    async def _resolved(
        self,
        appends: Sequence[Append],
        call: ScriptCall,
        give_up: float,
        *,
        in_doubt: bool = False,
    ) -> list[Outcome | Exception]:
        """Send until there is an answer; ``in_doubt``: it was sent before, with what result?"""
        pause = _FIRST_PAUSE
        while True:
            try:
                return parse_answers(self._keys, appends, await self._answers(call))
            except (ConnectionLost, StoreUnavailable, TooFewReplicas) as error:
                in_doubt = in_doubt or not isinstance(error, StoreUnavailable)
                failure: Exception = error
            except (ServerError, DurabilityRefused) as error:
                if not str(error).startswith(TRANSIENT):
                    raise self._refusal(appends, error, in_doubt=in_doubt) from error
                failure = error
            if time.monotonic() > give_up:
                raise self._refusal(appends, failure, in_doubt=in_doubt) from failure
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _answers(self, call: ScriptCall) -> Reply:
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
        return reply

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
