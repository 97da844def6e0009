"""A release whose deposits say more: a field with a default, which an older one passes over."""

from typing import Self

from tests.faults.domain import Withdrawn
from whence import Aggregate, Event, Rejected, command, replace
from whence.actors.model import WriteModel


class Deposited(Event):
    amount: int
    balance: int
    channel: str = "counter"


class Account(Aggregate[Deposited | Withdrawn]):
    balance: int = 0

    @command
    def deposit(self, amount: int) -> Deposited:
        return Deposited(amount, self.balance + amount, "app")

    @command
    def deposit_each(self, amounts: list[int]) -> list[Deposited]:
        sums = [sum(amounts[: number + 1]) for number in range(len(amounts))]
        pairs = zip(amounts, sums, strict=True)
        return [Deposited(amount, self.balance + total, "app") for amount, total in pairs]

    @command
    def withdraw(self, amount: int) -> Withdrawn:
        if amount > self.balance:
            raise Rejected(f"there are only {self.balance}")
        return Withdrawn(amount, self.balance - amount)

    def apply(self, event: Deposited | Withdrawn) -> Self:
        return replace(self, balance=event.balance)


model = WriteModel([Account])
