"""What makes a store this store: a uuid and the number of partitions, set once."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from whence.store.errors import ServerRefused, StoreMismatch
from whence.store.keys import DEFAULT_PARTITIONS, GRAMMAR, check_partitions, identity_key
from whence.store.script import ScriptCall, run_scripts, store_script
from whence.store.wire import ServerError, Wire

_SCRIPT = store_script("identity")


class Identity(NamedTuple):
    uuid: str
    partitions: int


async def find(wire: Wire, namespace: str) -> Identity | None:
    """The identity of a store, None if there is no such store. Writes nothing.

    Raises:
        StoreMismatch: the store was written by another grammar.
        ServerRefused: the server does not answer the question.
    """
    (reply,) = await wire.call(
        [("HMGET", identity_key(namespace), "uuid", "partitions", "grammar")]
    )
    if isinstance(reply, ServerError):
        raise ServerRefused("to find the store", str(reply))
    return None if None in reply else _parse(namespace, reply)


async def establish(wire: Wire, namespace: str, partitions: int | None) -> Identity:
    """Give a new store its identity, or check that the one found there is what is asked for.

    Args:
        partitions: None takes what the store has, or 64 for a new one.

    Raises:
        StoreMismatch: the store has another partition count, or was written by another grammar.
    """
    wanted = DEFAULT_PARTITIONS if partitions is None else check_partitions(partitions)
    identity = await find(wire, namespace) or await _make(wire, namespace, wanted)
    if partitions is not None and identity.partitions != partitions:
        raise StoreMismatch(
            f"the store {namespace!r} has {identity.partitions} partitions, not {partitions}: the "
            "number is fixed when a store is created; leave it out or give the right one"
        )
    return identity


async def _make(wire: Wire, namespace: str, partitions: int) -> Identity:
    """The identity of a new store, or that of another program which made it just before."""
    call = ScriptCall(_SCRIPT, [identity_key(namespace)], [uuid4().hex, partitions, GRAMMAR])
    (reply,) = await run_scripts(wire, [call])
    if isinstance(reply, Exception):
        raise ServerRefused("to open the store", str(reply))
    return _parse(namespace, reply)


def _parse(namespace: str, reply: Sequence[bytes]) -> Identity:
    uuid, partitions, grammar = (field.decode() for field in reply)
    if int(grammar) != GRAMMAR:
        raise StoreMismatch(
            f"the store {namespace!r} was written with key grammar {grammar}, and this release "
            f"writes grammar {GRAMMAR}: use the release that made it"
        )
    return Identity(uuid, int(partitions))
