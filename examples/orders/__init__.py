"""The order domain of the first tutorial."""

from examples.orders.domain import domain

__all__ = ["domain"]
