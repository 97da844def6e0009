"""Cancellation in an order that is the same in every run of a seed."""

import contextlib
from collections.abc import Generator
from itertools import count
from typing import Any
from unittest import mock

# What anyio.CancelScope makes; the name at the top of anyio is that of the function that does.
from anyio._backends._asyncio import CancelScope  # pyright: ignore[reportPrivateUsage]


@contextlib.contextmanager
def numbered_scopes() -> Generator[None]:
    """Within the block the place of a scope in a set follows from when it was made.

    anyio keeps the scopes within a scope in a set, and cancels them in its order: without this, in
    that of their addresses.
    """
    numbers = count()
    number_of: dict[int, int] = {}  # by address, for a scope has no room for more attributes
    begin = CancelScope.__init__

    def numbered(scope: CancelScope, *args: Any, **options: Any) -> None:
        number_of[id(scope)] = next(numbers)
        begin(scope, *args, **options)

    def number(scope: CancelScope) -> int:
        return number_of[id(scope)]

    with (
        mock.patch.object(CancelScope, "__init__", numbered),
        mock.patch.object(CancelScope, "__hash__", number),
    ):
        yield
