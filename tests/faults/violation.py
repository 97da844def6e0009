"""A broken promise, and the few lines that show it."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Kind = Literal[
    "lost",
    "changed",
    "moved",
    "duplicate",
    "split",
    "incomplete",
    "phantom",
    "refused but stored",
    "wrong version",
    "answers differ",
    "versions",
    "positions",
    "pointer",
    "order",
    "not a prefix",
    "read order",
]


class Violation(NamedTuple):
    """What is wrong, as a sentence, and the lines of the history and the log that prove it."""

    kind: Kind
    sentence: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        return "\n    ".join([f"{self.kind}: {self.sentence}", *self.evidence])


def violation(kind: Kind, sentence: str, *evidence: object) -> Violation:
    return Violation(kind, sentence, tuple(map(str, evidence)))


def report(violations: Sequence[Violation], shown: int = 5) -> str:
    """The first few in full, and how many of each kind there are."""
    counts = ", ".join(f"{_count(violations, kind)} of {kind!r}" for kind in _kinds(violations))
    return "\n".join([f"{len(violations)} violations: {counts}", *map(str, violations[:shown])])


def _kinds(violations: Iterable[Violation]) -> list[str]:
    return sorted({found.kind for found in violations})


def _count(violations: Iterable[Violation], kind: str) -> int:
    return sum(found.kind == kind for found in violations)
