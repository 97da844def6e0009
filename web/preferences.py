"""The Prefer header (RFC 7240): how much of an answer a client wants."""

from typing import Literal, cast

from starlette.requests import Request

Answer = Literal["minimal", "representation"]

_ANSWERS = {"return=minimal", "return=representation"}


def preferred(request: Request) -> Answer | None:
    """Whether a command is answered without its events, or with the state; None for its events.

    What a server does not know of preferences it passes over, and of two the first one counts.
    """
    for preference in ",".join(request.headers.getlist("prefer")).lower().split(","):
        name = preference.partition(";")[0].replace(" ", "").replace('"', "")
        if name in _ANSWERS:
            return cast("Answer", name.removeprefix("return="))
    return None
