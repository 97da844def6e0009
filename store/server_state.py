"""What a server says of itself: INFO and CONFIG, as far as this user may see them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from whence.store.wire import Command, Reply, ServerError

# Asked in one round trip; INFO also answers while the server loads its data.
STATE_COMMANDS: Sequence[Command] = (
    ("INFO",),
    ("CONFIG", "GET", "appendfsync", "stream-node-max-bytes"),
    ("ACL", "GETUSER", "default"),
)


class ServerState(NamedTuple):
    """The answers to STATE_COMMANDS.

    Args:
        info: the fields of INFO; empty when this user may not run it.
        config: the settings asked for; empty when this user may not see them.
        default_user_limited: whether the ACL user "default" is off or may not do everything; None
            when this user may not see it.
    """

    info: Mapping[str, str]
    config: Mapping[str, str]
    default_user_limited: bool | None

    @property
    def kind(self) -> str:
        """``valkey`` or ``redis``, or an empty string."""
        if "valkey_version" in self.info:
            return "valkey"
        return "redis" if "redis_version" in self.info else ""

    @property
    def version(self) -> tuple[int, ...]:
        """The release as numbers: (9, 1, 2); empty when it is unknown."""
        text = self.info.get("valkey_version") or self.info.get("redis_version", "")
        return tuple(int(part) for part in text.split(".") if part.isdecimal())

    @property
    def loading(self) -> bool:
        return self.info.get("loading", "0") == "1"

    @property
    def replicas(self) -> int:
        """How many replicas are connected and in step; the others acknowledge nothing."""
        return sum(
            "state=online" in value
            for name, value in self.info.items()
            if name.startswith("slave") and name.removeprefix("slave").isdecimal()
        )


def parse_state(replies: Sequence[Reply]) -> ServerState:
    """The replies to STATE_COMMANDS; an error in the place of one means "cannot see"."""
    info, config, user = replies
    return ServerState(
        {} if isinstance(info, ServerError) else _fields(info),
        {} if isinstance(config, ServerError) else _pairs(config),
        None if isinstance(user, ServerError) or user is None else _limited(user),
    )


def _fields(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, separator, value in lines if separator}


def _pairs(reply: Sequence[object]) -> dict[str, str]:
    texts = [cast("bytes", item).decode(errors="replace") for item in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _limited(reply: Sequence[object]) -> bool:
    """Whether ACL GETUSER shows anything less than a user who is on and may do everything."""
    user = dict(zip(cast("Sequence[bytes]", reply[::2]), reply[1::2], strict=True))
    flags = cast("Sequence[bytes]", user.get(b"flags", ()))
    return b"off" in flags or user.get(b"commands") != b"+@all" or user.get(b"keys") != b"~*"
