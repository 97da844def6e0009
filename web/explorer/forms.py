"""The forms of the pages: what they hold, and the way back."""

from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from whence.projections.requests import MAX_REASON
from whence.web.explorer.pages import root

_LONGEST = 10_000


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPException: 413, no form of ours is so long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise HTTPException(413, f"the reason may have {MAX_REASON} characters")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def back(request: Request, outcome: str) -> Response:
    """The way to the page of the projections, which says what a form has led to."""
    return RedirectResponse(f"{root(request)}/explorer/projections?outcome={outcome}", 303)
