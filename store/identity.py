"""What makes a store this store: a uuid and the number of partitions, set once."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from whence.store.errors import StoreMismatch
from whence.store.keys import DEFAULT_PARTITIONS, GRAMMAR, check_partitions, identity_key
from whence.store.script import ScriptCall, answers_of, store_script
from whence.store.wire import ServerError, Wire, refusal

_SCRIPT = store_script("identity")


class Identity(NamedTuple):
    uuid: str
    partitions: int


async def find(wire: Wire, where: str, namespace: str) -> Identity | None:
    """The identity of a store, None if there is no such store. Writes nothing.

    Args:
        where: the server, as an error message may name it.

    Raises:
        StoreMismatch: the store was written by another grammar.
        StoreUnavailable, ServerRefused: the server does not answer the question.
    """
    (reply,) = await wire.call(
        [("HMGET", identity_key(namespace), "uuid", "partitions", "grammar")]
    )
    if isinstance(reply, ServerError):
        raise refusal(where, "to find the store", reply)
    return None if None in reply else _parse(namespace, reply)


async def establish(wire: Wire, where: str, namespace: str, partitions: int | None) -> Identity:
    """Give a new store its identity, or check that the one found there is what is asked for.

    Args:
        partitions: None takes what the store has, or 64 for a new one.

    Raises:
        StoreMismatch: the store has another partition count, or was written by another grammar.
        StoreUnavailable, ServerRefused: the server cannot be used.
    """
    wanted = DEFAULT_PARTITIONS if partitions is None else check_partitions(partitions)
    identity = await find(wire, where, namespace)
    identity = identity or await _make(wire, where, namespace, wanted)
    if partitions is not None and identity.partitions != partitions:
        raise StoreMismatch(
            f"the store {namespace!r} has {identity.partitions} partitions, not {partitions}: the "
            "number is fixed when a store is created; leave it out or give the right one"
        )
    return identity


async def _make(wire: Wire, where: str, namespace: str, partitions: int) -> Identity:
    """The identity of a new store, or that of another program which made it just before."""
    call = ScriptCall(_SCRIPT, [identity_key(namespace)], [uuid4().hex, partitions, GRAMMAR])
    (reply,) = await answers_of(wire, where, [call])
    return _parse(namespace, reply)


def _parse(namespace: str, reply: Sequence[bytes]) -> Identity:
    uuid, partitions, grammar = (field.decode() for field in reply)
    if int(grammar) != GRAMMAR:
        raise StoreMismatch(
            f"the store {namespace!r} was written with key grammar {grammar}, and this release "
            f"writes grammar {GRAMMAR}: use the release that made it"
        )
    return Identity(uuid, int(partitions))
