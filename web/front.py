"""Starlette, with the one thing in another place that each answer would pay for."""

from starlette.applications import Starlette
from starlette.types import ASGIApp


class Front(Starlette):
    """Starlette's application, with all middleware in front of what answers for defects.

    Starlette has that outermost, where it takes hold of every message that is sent, to know whether
    an answer has begun. Here whatever answers by itself, as ``Direct`` does, answers for its own
    defects as well. Middleware that is added later is still outermost.
    """

    def build_middleware_stack(self) -> ASGIApp:
        outer, self.user_middleware = self.user_middleware, []
        app = super().build_middleware_stack()
        self.user_middleware = outer
        for cls, args, kwargs in reversed(outer):
            app = cls(app, *args, **kwargs)
        return app
