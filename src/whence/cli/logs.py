"""What the serving commands say while they run: one line per event on stderr, warnings and up."""

import logging
from asyncio import CancelledError

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logs() -> None:
    """Send the warnings of every library through one plain formatter."""
    logging.basicConfig(level=logging.WARNING, format=FORMAT)
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """uvicorn reports each request that it cancels at its end as a crash of the application."""
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))
