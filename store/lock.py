"""The lock: every form of event that may have been stored, in a file that is committed.

A class says what its events look like today. What they looked like when they were stored only a
record of that time can tell, so the lock keeps the schema of each type and version for ever.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from whence.store.errors import InvalidSetting
from whence.store.events import Event
from whence.store.finding import Finding, line_with, place_of
from whence.store.registry import EventRegistry
from whence.store.schema import Difference, Schema, differences, schema_of

FORMAT = 1
_UPDATE = 'record it with "whence check --update"'


class Locked(msgspec.Struct, frozen=True, omit_defaults=True):
    """One name: its schemas by version. ``gone``: no class has it any more."""

    versions: dict[str, Schema]
    gone: bool = False


class Lock(msgspec.Struct, frozen=True):
    """What stands in the file."""

    events: dict[str, Locked]
    format: int = FORMAT


class Comparison(NamedTuple):
    """What differs between a domain and its lock.

    ``broken``: stored events could not be read, or would mean something else. ``unrecorded``: good,
    and not in the file yet.
    """

    broken: list[Finding]
    unrecorded: list[Finding]


def read_lock(file: Path) -> Lock | None:
    """The lock in a file, or None if there is no such file.

    Raises:
        InvalidSetting: it cannot be read, or is none.
    """
    try:
        lock = msgspec.json.decode(file.read_bytes(), type=Lock)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{file} cannot be read as a lock of events: {error}") from error
    if lock.format != FORMAT:
        raise InvalidSetting(
            f"{file} is a lock of format {lock.format}, and this release knows {FORMAT}"
        )
    return lock


def write_lock(file: Path, lock: Lock) -> None:
    """Write a lock so that it reads well as a difference between two commits.

    Raises:
        InvalidSetting: it cannot be written.
    """
    try:
        text = msgspec.json.format(msgspec.json.encode(lock, order="sorted"))
        file.write_bytes(text + b"\n")
    except OSError as error:
        raise InvalidSetting(f"{file} cannot be written: {error.strerror}") from error


def updated(lock: Lock | None, registry: EventRegistry) -> Lock:
    """The lock with all that a domain has added to it; nothing is ever taken out."""
    events = {} if lock is None else dict(lock.events)
    for name, locked in events.items():
        events[name] = Locked(locked.versions, gone=name not in registry.types)
    for name, cls in registry.types.items():
        before = events[name].versions if name in events else {}
        events[name] = Locked({**before, str(cls.__schema_version__): schema_of(cls)})
    return Lock(events)


def compare(lock: Lock | None, registry: EventRegistry, file: Path) -> Comparison:
    """Compare a domain with the lock that was read from ``file``."""
    if lock is None:
        return Comparison(
            [], [Finding("error", f"there is no {file}, the record of what is stored: {_UPDATE}")]
        )
    broken: list[Finding] = []
    unrecorded: list[Finding] = []
    for name, locked in lock.events.items():
        cls = registry.class_of(name)
        if cls is None:
            broken += _unreadable(name, locked, registry, file)
        elif locked.gone and name in registry.types and not _as_before(locked, cls):
            broken.append(_reused(name, cls))
            continue
        else:
            broken += _newer(name, locked, registry, cls)
            for difference in _changes(locked, cls):
                found = _changed(cls, difference)
                (unrecorded if difference.compatible else broken).append(found)
        if locked.gone == (name in registry.types):
            now = "a class again" if locked.gone else "no class any more"
            place = line_with(file, f'"{name}"')
            unrecorded.append(Finding("error", f"the name {name} has {now}: {_UPDATE}", place))
    unrecorded += _additions(lock, registry, file)
    return Comparison(broken, unrecorded)


def _unreadable(
    name: str, locked: Locked, registry: EventRegistry, file: Path
) -> Iterator[Finding]:
    for version in locked.versions:
        if not registry.reads(name, int(version)):
            yield Finding(
                "error",
                f"{name} of schema version {version} may be stored, and nothing in this domain "
                "reads it: bring its class back, name it in the aliases of another one, or give it "
                "a splitter or retired() in Domain(upcasters=[...])",
                line_with(file, f'"{name}"'),
            )


def _newer(
    name: str, locked: Locked, registry: EventRegistry, cls: type[Event]
) -> Iterator[Finding]:
    for version in locked.versions:
        if not registry.reads(name, int(version)):
            yield Finding(
                "error",
                f"{name} of schema version {version} may be stored, and the class "
                f"{cls.__name__} is of version {cls.__schema_version__}: versions only go up",
                place_of(cls),
            )


def _as_before(locked: Locked, cls: type[Event]) -> bool:
    return locked.versions.get(str(cls.__schema_version__)) == schema_of(cls)


def _reused(name: str, cls: type[Event]) -> Finding:
    return Finding(
        "error",
        f"the name {name} belongs to an event that had no class any more, and of which some may be "
        "stored: it cannot be used again for another one; choose another name",
        place_of(cls),
    )


def _changes(locked: Locked, cls: type[Event]) -> Iterator[Difference]:
    old = locked.versions.get(str(cls.__schema_version__))
    if old is not None:
        yield from differences(old, schema_of(cls))


def _changed(cls: type[Event], difference: Difference) -> Finding:
    name, version = cls.__name__, cls.__schema_version__
    place = place_of(cls, difference.field.partition(".")[0].removesuffix("[]"))
    if difference.compatible:
        return Finding("error", f"{name}: {difference.message}; {_UPDATE}", place)
    return Finding(
        "error",
        f"{name} has changed without a new schema version: {difference.message}; stored events "
        f"could not be read, or would mean something else: make it version={version + 1}, with an "
        f"upcaster from version {version}",
        place,
    )


def _additions(lock: Lock, registry: EventRegistry, file: Path) -> Iterator[Finding]:
    for name, cls in registry.types.items():
        locked = lock.events.get(name)
        if locked is None or str(cls.__schema_version__) not in locked.versions:
            yield Finding(
                "error",
                f"{name} of schema version {cls.__schema_version__} is not in {file}: {_UPDATE}",
                place_of(cls),
            )
