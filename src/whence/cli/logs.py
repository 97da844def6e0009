"""What the serving commands say while they run: one line per event on stderr, warnings and up."""

import json
import logging
from asyncio import CancelledError
from datetime import UTC, datetime
from typing import Literal

from whence.actors.context import current_metadata
from whence.store.metadata import trace_id
from whence.web.trace import current_trace

LogFormat = Literal["text", "json"]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logs(log_format: LogFormat = "text") -> None:
    """Send the warnings of every library through one formatter."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter(FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)


class JsonLines(logging.Formatter):
    """One JSON object per line: ``time``, ``level``, ``logger`` and ``message``.

    ``trace_id`` is that of the request or command at hand, ``exception`` a traceback, if there is
    one.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = current_trace() or trace_id(current_metadata().trace)
        if trace:
            line["trace_id"] = trace
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """uvicorn reports each request that it cancels at its end as a crash of the application."""
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))
