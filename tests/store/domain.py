"""The accounts of the conformance suite, for the other tests of the store as well."""

from whence.testing.conformance.accounts import (
    NOON,
    Deposited,
    Opened,
    Weighed,
    account,
    append_of,
    registry,
)

__all__ = ["NOON", "Deposited", "Opened", "Weighed", "account", "append_of", "registry"]
