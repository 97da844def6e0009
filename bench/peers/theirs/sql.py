"""Deposits by ``eventsourcing``, on the database that its own environment variables name.

python sql.py ACCOUNTS SECONDS REFERENCE: prints a JSON object, commands/s by setting. It runs in an
environment of its own and imports nothing of Whence.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

THREADS = (1, 8)
# Each thread has accounts of its own, so a cache that never looks for newer events is right here.
CACHES = {
    "no cache": {},
    "cache": {"AGGREGATE_CACHE_MAXSIZE": "100000", "AGGREGATE_CACHE_FASTFORWARD": "n"},
}


class Account(Aggregate):
    @event("Opened")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = 0

    def deposit(self, amount: int, reference: str) -> None:
        self.deposited(amount, self.balance + amount, reference)

    @event("Deposited")
    def deposited(self, amount: int, balance: int, reference: str) -> None:
        self.balance = balance


class Accounts(Application):
    def open(self, owner: str) -> UUID:
        account = Account(owner)
        self.save(account)
        return account.id

    def deposit(self, account_id: UUID, amount: int, reference: str) -> None:
        account = self.repository.get(account_id)
        account.deposit(amount, reference)
        self.save(account)


def measure(accounts: int, seconds: float, reference: str, threads: int, cache: str) -> float:
    app = Accounts(env={**os.environ, **CACHES[cache]})
    with ThreadPoolExecutor(threads) as pool:
        ids = list(pool.map(app.open, map(str, range(accounts))))
        start = time.perf_counter()
        shares = [ids[number::threads] for number in range(threads)]
        done = sum(pool.map(lambda share: deposit(app, share, start + seconds, reference), shares))
        took = time.perf_counter() - start
    app.close()
    return done / took


def deposit(app: Accounts, ids: list[UUID], until: float, reference: str) -> int:
    done = 0
    while time.perf_counter() < until:
        app.deposit(ids[done % len(ids)], 1, reference)
        done += 1
    return done


if __name__ == "__main__":
    accounts, seconds, reference = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    results = {
        f"{threads} threads, {cache}": measure(accounts, seconds, reference, threads, cache)
        for threads in THREADS
        for cache in CACHES
    }
    print(json.dumps(results))
