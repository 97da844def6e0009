"""The parameters and headers that the OpenAPI description has in many places."""

from typing import Any

from whence.web.commands import LONGEST_WITHIN

Json = dict[str, Any]

TEXT: Json = {"type": "string"}


def whole(minimum: int) -> Json:
    return {"type": "integer", "minimum": minimum, "maximum": 10**15 - 1}


def limit(most: int) -> Json:
    return query("limit", whole(1) | {"maximum": most})


def path(name: str, **schema: Any) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": TEXT | schema}


def query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


ID = path("id", pattern="^[A-Za-z0-9._~-]{1,128}$")


def sent(name: str, description: str, **schema: Any) -> Json:
    """A header of a request."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": TEXT | schema,
    }


def header(description: str, **schema: Any) -> Json:
    """A header of an answer."""
    return {"description": description, "schema": TEXT | schema}


IDEMPOTENCY_KEY = sent(
    "Idempotency-Key",
    "The same command again, under the same key, gets the original answer.",
    pattern=ID["schema"]["pattern"],
)
TAG = r'(W/)?"[\x21\x23-\x7e]*"'
TAGS = rf"^(\*|{TAG}( *, *{TAG})*)$"
IF_MATCH = sent("If-Match", "The version that the aggregate must have.", pattern=TAGS)
IF_NONE_MATCH = sent("If-None-Match", "The version that the client has.", pattern=TAGS)
MUST_NOT_EXIST = sent("If-None-Match", "The aggregate must not exist yet.", enum=["*"])
PREFER = sent(
    "Prefer",
    "return=minimal for where the command has led, return=representation for the state, in place "
    "of its events; any other preference is ignored.",
)
LAST_EVENT_ID = sent("Last-Event-ID", "Where a reader of server-sent events was.")
VERSION_TAG = header("The version of the aggregate.", pattern='^"[0-9]+"$')
REPLAYED = header("The command had been stored before.", enum=["true"])
WITHIN = sent("Whence-Within", "Seconds in which the command has to be decided, or is dropped.")
WITHIN["schema"] = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_WITHIN}
CORRELATION_ID = sent(
    "X-Correlation-ID",
    "Names the story to which the events belong; stored with them.",
    pattern=ID["schema"]["pattern"],
)
TRACEPARENT = sent("traceparent", "The trace (W3C) to which the events belong; stored with them.")
COMMAND_HEADERS = [IDEMPOTENCY_KEY, PREFER, WITHIN, CORRELATION_ID, TRACEPARENT]
POSITIONS: Json = {"pattern": "^[0-9]{1,4}:[0-9]{1,15}( *, *[0-9]{1,4}:[0-9]{1,15})*$"}
WAITING = [
    query("wait_for", TEXT | POSITIONS),
    sent(
        "Whence-Wait-For",
        "Answer when the view has applied this position: the Whence-Position of a command.",
        **POSITIONS,
    ),
]
POSITION = header("Where the last event stands in the log.", pattern="^[0-9]+:[0-9]+$")
