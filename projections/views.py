"""What a handler asks for: operations on the rows of its view, recorded and applied later."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from whence.store.errors import shown

R = TypeVar("R")
T = TypeVar("T")

MAX_KEY_CHARACTERS = 512


class Put(NamedTuple):
    key: str
    row: Any


class Delete(NamedTuple):
    key: str


class Update(NamedTuple):
    key: str
    change: Callable[[Any], Any]
    start: Any


Operation = Put | Delete | Update


class Operations(Generic[T]):
    """What one event's handlers asked for, in their order. Nothing is read or written here."""

    __slots__ = ("operations",)

    def __init__(self) -> None:
        self.operations: list[T] = []


class Views(Operations[Operation], Generic[R]):
    """The view of a projection, as the handler of one event may change it.

    Nothing is read or written here: the worker applies the operations in order, and commits them
    together with the position of the event, so each takes effect exactly once.

    A key is any text of 1 to 512 characters; each method raises ValueError for another one.
    """

    __slots__ = ()

    def put(self, key: str, row: R) -> None:
        """Set the row at ``key``, whatever was there."""
        self.operations.append(Put(_checked(key), row))

    def delete(self, key: str) -> None:
        """Remove the row at ``key``; without one, nothing happens."""
        self.operations.append(Delete(_checked(key)))

    def update(self, key: str, change: Callable[[R], R], start: R | None = None) -> None:
        """Replace the row at ``key`` by ``change(row)``, or by ``change(start)`` if there is none.

        ``change`` is pure: it may run more than once. Without ``start`` the row must exist, or
        the event cannot be applied.
        """
        self.operations.append(Update(_checked(key), change, start))


def _checked(key: str) -> str:
    if type(key) is str and 1 <= len(key) <= MAX_KEY_CHARACTERS:
        if not key.isascii():
            key.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
        return key
    raise ValueError(
        f"{shown(key)} is not a row's key: use a str of 1 to {MAX_KEY_CHARACTERS} characters"
    )
