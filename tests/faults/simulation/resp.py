"""Replies as the bytes that a real server sends."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fakeredis._helpers import SimpleString

OK = b"+OK\r\n"


def encoded(reply: Any) -> bytes:
    """A reply of fakeredis as RESP 2."""
    parts: list[bytes] = []
    _encode(reply, parts)
    return b"".join(parts)


def _encode(reply: Any, parts: list[bytes]) -> None:
    match reply:
        case bytes():
            parts.append(b"$%d\r\n%b\r\n" % (len(reply), reply))
        case list() | tuple():
            _encode_all(cast("Sequence[Any]", reply), parts)
        case int():
            parts.append(b":%d\r\n" % reply)
        case None:
            parts.append(b"*-1\r\n")
        case dict():
            pairs = cast("Mapping[Any, Any]", reply)
            _encode_all([each for pair in pairs.items() for each in pair], parts)
        case SimpleString():
            parts.append(b"+%b\r\n" % reply.value)
        case _:
            raise TypeError(f"fakeredis answered {reply!r}")


def _encode_all(items: Sequence[Any], parts: list[bytes]) -> None:
    parts.append(b"*%d\r\n" % len(items))
    for each in items:
        if type(each) is bytes:  # most are, and a call takes longer
            parts.append(b"$%d\r\n%b\r\n" % (len(each), each))
        else:
            _encode(each, parts)


def refused(why: str) -> bytes:
    """An error as RESP."""
    # fakeredis puts ERR in front of a code that a server sends alone.
    why = why.replace("ERR BUSYGROUP", "BUSYGROUP")
    return b"-%b\r\n" % why.replace("\r", " ").replace("\n", " ").encode()
