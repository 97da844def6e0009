"""Names of streams and commands, and the rule that every id from outside has to pass."""

import itertools
import os
import re
from base64 import urlsafe_b64encode
from typing import NamedTuple

from whence.store.errors import InvalidId

_ALLOWED = re.compile(r"[A-Za-z0-9._~-]{1,128}")


def check_id(value: str, *, field: str = "id") -> str:
    """Return ``value`` if it may be part of a key; it must be decoded from the URL before.

    Raises:
        InvalidId: naming ``field``, for anything but 1 to 128 unreserved URL characters. Braces
            would move the key to another Cluster slot, colons would make two ids one key.
    """
    if _ALLOWED.fullmatch(value) is None:
        raise InvalidId(value, field=field)
    return value


def kebab(name: str) -> str:
    """The name of a class as part of keys and URLs: OrderList -> order-list."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


class StreamId(NamedTuple):
    """The stream of one aggregate: its type ("order") and its id ("42")."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}/{self.id}"

    @classmethod
    def checked(cls, type_name: str, id_: str) -> "StreamId":
        """A stream id whose two parts are known to be safe in a key. Raises InvalidId."""
        return cls(check_id(type_name, field="aggregate type"), check_id(id_))

    @classmethod
    def parse(cls, text: str) -> "StreamId":
        """The inverse of ``str``; for text that this program has written itself."""
        type_name, _, id_ = text.partition("/")
        return cls(type_name, id_)


class CommandIds:
    """Makes command ids that no other process makes: 96 random bits, then a counter.

    A UUID of the same strength costs three times the bytes in every stored event.
    """

    def __init__(self) -> None:
        self._prefix = urlsafe_b64encode(os.urandom(12)).decode()
        self._count = itertools.count(1)

    def next(self) -> str:
        return f"{self._prefix}.{next(self._count)}"
