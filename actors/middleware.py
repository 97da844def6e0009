"""Middleware: what happens around every command, such as authorisation, tracing and measuring."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest

Next = Callable[[CommandRequest], Awaitable[Receipt]]


class Middleware(Protocol):
    """A function around commands::

        async def authorise(request: CommandRequest, call_next: Next) -> Receipt:
            if not may(request.metadata.who, request.command.name):
                raise Rejected("only clerks cancel orders")
            return await call_next(request)

    It sees what is asked of which aggregate, and passes it on, changed
    (``request._replace(metadata=...)``) or not. To refuse it raises, best a WhenceError: nothing
    was stored then. It may pass a request on again, which is a new attempt of the same command.

    A caller who leaves cancels what a middleware waits for; a command that was passed on is
    finished all the same.
    """

    async def __call__(self, request: CommandRequest, call_next: Next) -> Receipt: ...


def chain(middleware: Sequence[Middleware], last: Next) -> Next:
    """One function of them all: the first one listed is the outermost, ``last`` the innermost."""
    for one in reversed(middleware):
        last = partial(one, call_next=last)
    return last
