"""What a request says about all commands that are sent on its behalf."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec.structs import replace

from whence.store.metadata import NO_METADATA, Metadata, trace_id

_current: ContextVar[Metadata] = ContextVar("whence_request", default=NO_METADATA)


@contextmanager
def request_context(metadata: Metadata) -> Generator[Metadata]:
    """Give this metadata to the commands sent inside: ``with request_context(Metadata(...)):``

    It counts for tasks that are begun inside as well. What a command says itself comes first; an
    inner context comes before an outer one. A context without ``correlation_id`` gets one, so that
    its commands can be found together: the trace id, or 128 random bits as hex digits.

    Yields:
        The metadata as the commands get it.
    """
    filled = metadata.or_else(_current.get())
    if not filled.correlation_id:
        made = trace_id(filled.trace) or secrets.token_hex(16)
        filled = replace(filled, correlation_id=made)
    token = _current.set(filled)
    try:
        yield filled
    finally:
        _current.reset(token)


def current_metadata() -> Metadata:
    """What the innermost ``request_context`` says; NO_METADATA outside of any."""
    return _current.get()
