"""Replies as the bytes that a real server sends."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fakeredis._helpers import SimpleString

OK = b"+OK\r\n"


def encoded(reply: Any) -> bytes:
    """A reply of fakeredis as RESP 2."""
    match reply:
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case list() | tuple():
            return _array(cast("Sequence[Any]", reply))
        case int():
            return b":%d\r\n" % reply
        case None:
            return b"*-1\r\n"
        case dict():
            pairs = cast("Mapping[Any, Any]", reply)
            return _array([each for pair in pairs.items() for each in pair])
        case SimpleString():
            return b"+%b\r\n" % reply.value
        case _:
            raise TypeError(f"fakeredis answered {reply!r}")


def _array(items: Sequence[Any]) -> bytes:
    return b"*%d\r\n%b" % (len(items), b"".join(map(encoded, items)))


def refused(why: str) -> bytes:
    """An error as RESP."""
    # fakeredis puts ERR in front of a code that a server sends alone.
    why = why.replace("ERR BUSYGROUP", "BUSYGROUP")
    return b"-%b\r\n" % why.replace("\r", " ").replace("\n", " ").encode()
