"""A release with another form of withdrawals, which an older one cannot read."""

from typing import Self

from tests.faults.domain import Deposited
from whence import Aggregate, Event, Rejected, command, replace
from whence.actors.model import WriteModel
from whence.store.upcasting import JsonObject, upcaster


class Withdrawn(Event, version=2):
    amount: int
    balance: int
    fee: int


class Account(Aggregate[Deposited | Withdrawn]):
    balance: int = 0

    @command
    def deposit(self, amount: int) -> Deposited:
        return Deposited(amount, self.balance + amount)

    @command
    def deposit_each(self, amounts: list[int]) -> list[Deposited]:
        sums = [sum(amounts[: number + 1]) for number in range(len(amounts))]
        pairs = zip(amounts, sums, strict=True)
        return [Deposited(amount, self.balance + total) for amount, total in pairs]

    @command
    def withdraw(self, amount: int) -> Withdrawn:
        if amount > self.balance:
            raise Rejected(f"there are only {self.balance}")
        return Withdrawn(amount, self.balance - amount, 0)

    def apply(self, event: Deposited | Withdrawn) -> Self:
        return replace(self, balance=event.balance)


@upcaster(Withdrawn, version=1)
def without_fee(old: JsonObject) -> JsonObject:
    return {**old, "fee": 0}


model = WriteModel([Account], [without_fee])
