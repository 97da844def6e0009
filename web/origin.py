"""Where a request comes from, as its headers tell: it is stored with the events it leads to."""

from starlette.types import Scope

from whence.store.ids import check_id
from whence.store.metadata import NO_METADATA, Metadata, trace_id
from whence.web.access import who_asks


def metadata_of(scope: Scope) -> Metadata:
    """Who sent it, as far as anybody had to say, and what X-Correlation-ID and traceparent ask for.

    Without X-Correlation-ID, the trace id names the story. A traceparent that is none, or one of
    several, is ignored, as W3C Trace Context has it: the trace is of no concern to the command.

    Raises:
        InvalidId: X-Correlation-ID is not 1 to 128 characters of A-Z a-z 0-9 . _ ~ -
    """
    correlation = ""
    parents: list[str] = []
    for name, value in scope["headers"]:
        if name == b"x-correlation-id":
            correlation = check_id(value.decode("latin-1"), field="X-Correlation-ID")
        elif name == b"traceparent":
            parents.append(value.decode("latin-1"))
    traced = trace_id(parents[0]) if len(parents) == 1 else ""
    who = who_asks(scope)
    if not (who or correlation or traced):
        return NO_METADATA
    return Metadata(who, correlation_id=correlation or traced, trace=parents[0] if traced else "")
