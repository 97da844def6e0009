"""Where a request comes from, as its headers tell: it is stored with the events it leads to."""

from starlette.types import Scope

from whence.store.ids import check_id
from whence.store.metadata import NO_METADATA, Metadata, trace_id
from whence.web.access import who_asks
from whence.web.headers import headers_of
from whence.web.trace import traceparent

_TELLS = frozenset([b"x-correlation-id", b"traceparent"])


def metadata_of(scope: Scope) -> Metadata:
    """Who sent it, as far as anybody had to say, and what X-Correlation-ID and traceparent ask for.

    Without X-Correlation-ID, the trace id names the story. A traceparent that is none, or one of
    several, is ignored, as W3C Trace Context has it: the trace is of no concern to the command.

    Raises:
        InvalidId: X-Correlation-ID is not 1 to 128 characters of A-Z a-z 0-9 . _ ~ -
    """
    who = who_asks(scope)
    if not who and _TELLS.isdisjoint(headers_of(scope)):
        return NO_METADATA
    correlation = ""
    for name, value in scope["headers"]:
        if name == b"x-correlation-id":
            correlation = check_id(value.decode("latin-1"), field="X-Correlation-ID")
    parent = traceparent(scope)
    if not (who or correlation or parent):
        return NO_METADATA
    return Metadata(who, correlation_id=correlation or trace_id(parent), trace=parent)
