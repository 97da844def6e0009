"""The smallest domain that does real work: accounts and deposits of about 200 bytes."""

from typing import Self

from msgspec import Struct

from whence import Aggregate, Domain, Event, Projection, Recorded, Views, command, on, replace

REFERENCE = "r" * 150


class Deposited(Event):
    amount: int
    balance: int
    reference: str


class Account(Aggregate[Deposited]):
    balance: int = 0

    @command
    def deposit(self, amount: int, reference: str) -> Deposited:
        return Deposited(amount, self.balance + amount, reference)

    def apply(self, event: Deposited) -> Self:
        return replace(self, balance=event.balance)


class Balance(Struct, frozen=True):
    balance: int


class Balances(Projection[Balance]):
    @on(Deposited)
    def deposited(self, event: Deposited, record: Recorded, views: Views[Balance]) -> None:
        views.put(record.id, Balance(event.balance))


domain = Domain(aggregates=[Account], projections=[Balances])
