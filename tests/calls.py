"""Calls of actors to their store that a test makes in its own way: late, counted, never."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from whence.store.append import Append, Outcome
from whence.store.appender import Deliver

AppendMany = Callable[[Sequence[Append]], Awaitable[Sequence[Outcome | Exception]]]


def submitting(append_many: AppendMany) -> Callable[[Sequence[Append], Deliver], None]:
    """An ``EventStore.submit`` that does what this coroutine function does."""
    calls: set[asyncio.Future[Sequence[Outcome | Exception]]] = set()

    def submit(appends: Sequence[Append], deliver: Deliver) -> None:
        call = asyncio.ensure_future(append_many(appends))
        calls.add(call)

        def answered(call: "asyncio.Future[Sequence[Outcome | Exception]]") -> None:
            calls.discard(call)
            if call.cancelled():
                return
            error = call.exception()
            assert error is None or isinstance(error, Exception)
            deliver([*call.result()] if error is None else error)

        call.add_done_callback(answered)

    return submit
