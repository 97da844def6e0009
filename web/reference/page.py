"""GET /docs: the description of the domain for people, without anything from outside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from whence.web.reference.operations import Reference

_FOLDER = Path(__file__).parent
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_FILES = {
    "reference.css": "text/css",
    "icon.svg": "image/svg+xml",
}


class ReferencePage:
    """``/docs`` and its two files: plain HTML that needs no script.

    Args:
        document: what /openapi.json says.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._reference = Reference(document)
        self._version = document["info"]["version"]
        self._files = {name: (_FOLDER / name).read_bytes() for name in _FILES}
        self._template = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        ).get_template("reference.html")

    async def __call__(self, request: Request, path: Sequence[str]) -> Response:
        if request.method not in {"GET", "HEAD"}:
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        match path:
            case []:
                return self._page(request)
            case [name] if name in _FILES:
                return Response(self._files[name], headers=_HEADERS, media_type=_FILES[name])
            case _:
                raise HTTPException(404)

    def _page(self, request: Request) -> Response:
        root: str = request.scope.get("root_path", "")
        body = self._template.render(
            api=root,
            base=str(request.base_url).rstrip("/"),
            version=self._version,
            groups=self._reference.groups,
            schemas=self._reference.schemas,
        )
        return HTMLResponse(body, headers=_HEADERS)
