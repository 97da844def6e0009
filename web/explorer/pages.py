"""Pages out of templates: everything that comes from outside is escaped."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from whence.store.errors import WhenceError
from whence.web.explorer import text
from whence.web.problems import headers_of, problem_of

# Nothing from elsewhere, nothing inline, and no other site around it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# What a page shows belongs to those who may see it now: it is kept nowhere.
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


def root(request: Request) -> str:
    """The path under which the application is mounted; usually empty."""
    mounted: str = request.scope.get("root_path", "")
    return mounted


class Pages:
    """The templates of the Explorer."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Any] = {
            "value": text.value,
            "visible": text.visible,
            "moment": text.moment,
            "count": text.count,
            "duration": text.duration,
        }
        self._templates.filters.update(filters)

    def fragment(self, request: Request, template: str, **context: Any) -> Markup:
        """A piece of a page, which other templates take as it is."""
        api = root(request)
        found = self._templates.get_template(template)
        return Markup(found.render(api=api, explorer=f"{api}/explorer", **context))  # noqa: S704

    def answer(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **context: Any,
    ) -> Response:
        """A page, or a piece of one."""
        body = self.fragment(request, template, **context)
        return HTMLResponse(body, status, _HEADERS | (headers or {}))

    def problem(self, request: Request, error: WhenceError | HTTPException) -> Response:
        """The page of an error, with its status, and a way on."""
        if isinstance(error, HTTPException):
            status, detail, headers = error.status_code, error.detail, dict(error.headers or {})
            title = HTTPStatus(status).phrase
        else:
            problem = problem_of(error, f"{request.method} {request.url.path}")
            status, title, detail = problem.status, problem.title, problem.detail
            headers = headers_of(error) or {}
        return self.answer(
            request, "problem.html", status=status, headers=headers, title=title, detail=detail
        )
