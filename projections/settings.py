"""How a worker paces itself."""

from dataclasses import dataclass, fields

from whence.store.errors import InvalidSetting


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """All times in milliseconds.

    Args:
        lease_ms: how long a partition waits for a worker that was killed.
        poll_ms: how often a worker looks for partitions without one; also how long it may take to
            notice that another reader has stolen an event of its group.
        retry_ms: the first pause before a halted partition or a parked event is tried again; it
            doubles up to ``longest_retry_ms``.
        batch: events of one partition that are committed together.
        attempts: how often a parked event is tried by itself, the first time included; then it
            waits for a person.
        most_parked: aggregates of one partition that may be parked; where another one would be,
            the partition halts, for then it is not a few events that are at fault.
        rebuild_on_change: make a view anew when the live one was made by another version of its
            projection, and let readers see it when it has caught up. Otherwise a worker leaves such
            a view alone, and says so.

    Raises:
        InvalidSetting: a value cannot work.
    """

    lease_ms: int = 10_000
    poll_ms: int = 1_000
    retry_ms: int = 1_000
    longest_retry_ms: int = 60_000
    batch: int = 500
    attempts: int = 5
    most_parked: int = 100
    rebuild_on_change: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value: int = getattr(self, field.name)
            if type(value) is int and value < 1:
                raise InvalidSetting(
                    f"{field.name} must be 1 or more, not {value}", field=field.name
                )
        if self.poll_ms > self.lease_ms:
            raise InvalidSetting(
                f"poll_ms ({self.poll_ms}) must not be longer than lease_ms ({self.lease_ms}): a "
                "worker would look for its partitions less often than it loses them",
                field="poll_ms",
            )
