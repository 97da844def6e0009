"""The lines of a request's body, as they arrive."""

from collections.abc import AsyncGenerator

from starlette.requests import ClientDisconnect
from starlette.types import Receive


async def lines_of(receive: Receive, limit: int) -> AsyncGenerator[list[bytes | None]]:
    """Yields the lines that each piece of the body completes, without their ends.

    A line of more than ``limit`` bytes is given as None, and never held as a whole. The last line
    needs no end.

    Raises:
        ClientDisconnect: the client left before its body was complete.
    """
    rest, too_long, more = b"", False, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        *complete, rest = (rest + message.get("body", b"")).split(b"\n")
        lines = [line if len(line) <= limit else None for line in complete]
        if lines and too_long:
            lines[0], too_long = None, False
        if len(rest) > limit:
            rest, too_long = b"", True
        if not more and (rest or too_long):
            lines.append(None if too_long else rest)
        yield lines
