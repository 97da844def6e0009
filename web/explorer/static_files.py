"""The files of the pages: style, script, icon, and htmx, all out of this package."""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


class _File(NamedTuple):
    body: bytes
    media_type: str
    etag: str


class StaticFiles:
    """Read once, at start; a browser asks again each time and mostly gets a 304."""

    def __init__(self) -> None:
        self._files = {
            path.name: _read(path) for path in _FOLDER.iterdir() if path.suffix in _TYPES
        }

    def answer(self, request: Request, name: str) -> Response:
        """Raises HTTPException: 404, there is no such file."""
        file = self._files.get(name)
        if file is None:
            raise HTTPException(404, f"the Explorer has no file {name[:80]!r}")
        headers = {
            "etag": file.etag,
            "cache-control": "no-cache",
            "x-content-type-options": "nosniff",
        }
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers=headers, media_type=file.media_type)


def _read(path: Path) -> _File:
    body = path.read_bytes()
    return _File(body, _TYPES[path.suffix], f'"{sha256(body).hexdigest()[:16]}"')
