"""The domain of the golden data directories: orders, and tickets with a past."""

from examples.orders.domain import Order, OrderList, SalesPerDay
from tests.evolved import UPCASTERS, Ticket, Tickets
from whence import Domain

domain = Domain(
    aggregates=[Order, Ticket],
    projections=[OrderList, SalesPerDay, Tickets],
    upcasters=UPCASTERS,
)
