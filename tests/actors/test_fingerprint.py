"""The fingerprint of a state's code: a snapshot of other code is not used."""

from types import new_class
from typing import Any

import pytest

from tests.actors.domain import Counted, Counter, model
from whence import Aggregate, Event
from whence.actors.model import WriteModel
from whence.actors.snapshot import Snapshot, SnapshotCodec, Unfit
from whence.store.errors import InvalidDomain
from whence.store.ids import StreamId

KIND = model.aggregate("counter")


def test_the_same_class_has_the_same_one() -> None:
    assert SnapshotCodec(Counter, KIND.events).fingerprint == KIND.snapshots.fingerprint


def test_every_declared_change_of_the_state_changes_it() -> None:
    class Base(Aggregate[Counted], type_name="c"):
        total: int = 0

    class NewApply(Aggregate[Counted], type_name="c", state_version=2):
        total: int = 0

    class NewField(Aggregate[Counted], type_name="c"):
        total: int = 0
        more: int = 0

    class NewType(Aggregate[Counted], type_name="c"):
        total: float = 0

    class NewDefault(Aggregate[Counted], type_name="c"):
        total: int = 1

    class NewName(Aggregate[Counted], type_name="d"):
        total: int = 0

    classes: list[type[Aggregate[Any]]] = [
        Base,
        NewApply,
        NewField,
        NewType,
        NewDefault,
        NewName,
    ]
    assert len({SnapshotCodec(cls).fingerprint for cls in classes}) == len(classes)


def test_state_versions_start_at_one() -> None:
    with pytest.raises(InvalidDomain, match="cannot have state version 0"):

        class Zeroth(Aggregate[Counted], state_version=0):  # pyright: ignore[reportUnusedClass]
            pass


def test_a_state_that_json_cannot_describe_is_allowed_and_has_no_snapshots() -> None:
    class Odd(Aggregate[Counted]):
        seen: type = int

    kind = WriteModel([Odd]).aggregate("odd")
    snapshot = Snapshot(StreamId("odd", "1"), 1, 0, Odd())

    assert isinstance(kind.snapshots.encode(snapshot), Unfit)
    assert kind.snapshots.decode(snapshot.stream, [b"1", b"", b"0", b"{}", b"0"]) is None


def test_a_new_schema_version_of_an_event_makes_another_fingerprint() -> None:
    """With a new version comes an upcaster, and old events are read otherwise than before."""
    first = new_class("Counted", (Event,), {"version": 1})
    second = new_class("Counted", (Event,), {"version": 2})

    fingerprints = [SnapshotCodec(Counter, events).fingerprint for events in ([first], [second])]

    assert fingerprints[0] != fingerprints[1]
