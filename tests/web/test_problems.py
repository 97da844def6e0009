"""The table of problems: complete, stable, and without two meanings for one type."""

import re
from collections.abc import Iterator
from pathlib import Path

from whence.store import errors
from whence.web.problems import BY_STATUS, INTERNAL, KINDS

GUIDE = Path(__file__).parents[2] / "docs/http.md"

# What no request can meet: it ends a program at its start, or stays within a worker.
ELSEWHERE = (
    errors.EmbeddedServerError,
    errors.LeaseLost,
    errors.ProjectionFailed,
    errors.ReactionFailed,
    errors.RevisionMismatch,
    errors.StoreMismatch,
    errors.ViewHalted,
)


def tree(cls: type[Exception]) -> Iterator[type[Exception]]:
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from tree(child)


def test_every_error_has_its_problem() -> None:
    missing = [
        cls.__name__
        for cls in tree(errors.WhenceError)
        if not issubclass(cls, (*KINDS, *ELSEWHERE))
    ]
    assert missing == []


def test_no_two_errors_share_a_type() -> None:
    names = [kind.name for kind in (*KINDS.values(), INTERNAL)]
    assert sorted(set(names)) == sorted(names)


def test_the_types_are_for_ever() -> None:
    """Clients compare them: a new one may be added, an old one never changes its status."""
    assert {kind.name: kind.status for kind in (*KINDS.values(), INTERNAL)} == {
        "aggregate-not-found": 404,
        "conflict": 409,
        "corrupt-store": 500,
        "deadline-exceeded": 504,
        "event-parked": 503,
        "forbidden": 403,
        "internal-error": 500,
        "invalid-command": 422,
        "invalid-event": 422,
        "command-id-reused": 422,
        "invalid-id": 422,
        "invalid-input": 422,
        "not-found": 404,
        "outcome-unknown": 503,
        "overloaded": 503,
        "precondition-failed": 412,
        "rejected": 409,
        "row-not-found": 404,
        "store-not-durable": 503,
        "store-refused": 503,
        "store-unavailable": 503,
        "too-many-subscribers": 503,
        "unauthenticated": 401,
        "unknown-command": 404,
        "unknown-event-type": 500,
        "unknown-field": 404,
        "unknown-view": 404,
        "version-not-found": 404,
        "view-behind": 503,
        "view-in-sql": 404,
        "view-mismatch": 500,
    }


def test_the_guide_lists_all_of_them() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (\d+) \| (.+) \|$", GUIDE.read_text("utf-8"), re.MULTILINE)
    kinds = {kind.name: kind for kind in (*KINDS.values(), *BY_STATUS.values(), INTERNAL)}
    assert rows == [
        (kind.name, str(kind.status), kind.title)
        for kind in sorted(kinds.values(), key=lambda kind: (kind.status, kind.name))
    ]
