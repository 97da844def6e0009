"""Names of streams and commands, and the rule that every id from outside has to pass."""

import itertools
import re
import secrets
import time
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from whence.store.errors import InvalidId

_ALLOWED = re.compile(r"[A-Za-z0-9._~-]{1,128}")
# The command ids of imported facts begin with it. No caller's id does: it has a colon.
IMPORTED = "import:"
# The least number of 63 bits.
_FIRST = 2**62


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


def entry_id(number: int) -> str:
    """The id of the entry that holds a version, or in a feed a position; 0 is before the first.

    It is the second half that counts, because ids that differ in their last bytes only share most
    of the tree in which a server keeps a stream's nodes: 24 bytes less for each node.
    """
    return f"0-{number}"


def number_of(entry_id: bytes) -> int:
    """The inverse of ``entry_id``. Raises ValueError for any other id."""
    if entry_id[:2] != b"0-":
        raise ValueError
    return int(entry_id[2:])


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
        # cls(...) is a function in Python that does this.
        return tuple.__new__(cls, (type_name, id_))  # pyright: ignore[reportUnknownMemberType]


class CommandIds:
    """Makes command ids that no other process makes: numbers that count up from a random one.

    The start has 62 random bits. Two ids are only ever compared when two writers append to one
    stream at the same version: so even two processes whose numbers overlapped would confuse nothing
    by that alone. A server stores a number below 2^63 in 10 bytes; a UUID as text takes 38.
    """

    def __init__(self) -> None:
        # 2^40 below the end of the numbers: room for more commands than a process lives to send.
        self._numbers = itertools.count(_FIRST + secrets.randbelow(_FIRST - 2**40))

    def next(self) -> str:
        return str(next(self._numbers))


def new_id() -> str:
    """An id that nobody else makes, later ones sorting after earlier ones: a UUIDv7 (RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    return _uuid(7, milliseconds.to_bytes(6) + secrets.token_bytes(10))


def derived_id(text: str) -> str:
    """The one id that belongs to a text, the same in every process: a UUIDv8 (RFC 9562)."""
    return _uuid(8, sha256(text.encode()).digest()[:16])


def _uuid(version: int, data: bytes) -> str:
    number = int.from_bytes(data)
    number = number & ~(0xF << 76) | version << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=number))
