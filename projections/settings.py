"""How a worker paces itself."""

from dataclasses import dataclass

from whence.store.errors import InvalidSetting


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """All times in milliseconds.

    Args:
        lease_ms: how long a partition waits for a worker that was killed.
        poll_ms: how often a worker looks for partitions without one; also how long it may take to
            notice that another reader has stolen an event of its group.
        retry_ms: the first pause before a halted partition is tried again; it doubles up to
            ``longest_retry_ms``.
        batch: events of one partition that are committed together.

    Raises:
        InvalidSetting: a value cannot work.
    """

    lease_ms: int = 10_000
    poll_ms: int = 1_000
    retry_ms: int = 1_000
    longest_retry_ms: int = 60_000
    batch: int = 200

    def __post_init__(self) -> None:
        for name in ("lease_ms", "poll_ms", "retry_ms", "longest_retry_ms", "batch"):
            value: int = getattr(self, name)
            if value < 1:
                raise InvalidSetting(f"{name} must be 1 or more, not {value}", field=name)
        if self.poll_ms > self.lease_ms:
            raise InvalidSetting(
                f"poll_ms ({self.poll_ms}) must not be longer than lease_ms ({self.lease_ms}): a "
                "worker would look for its partitions less often than it loses them",
                field="poll_ms",
            )
