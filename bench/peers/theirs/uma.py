"""Deposits into UmaDB by its own client, each under the condition that nobody was faster.

python uma.py URL ACCOUNTS SECONDS REFERENCE: prints a JSON object, commands/s by setting. It runs
in an environment of its own and imports nothing of Whence. The state is kept in memory, as an actor
keeps it, so that a command is one conditional append.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from umadb import AppendCondition, Client, Event, Query, QueryItem

THREADS = (1, 32, 128)


class Account:
    """An account in memory: its balance, and the position of its last event."""

    def __init__(self, name: str) -> None:
        self._tags = [f"account:{name}"]
        self._query = Query([QueryItem(tags=self._tags)])
        self._balance = 0
        self._position: int | None = None

    def deposit(self, client: Client, amount: int, reference: str) -> None:
        balance = self._balance + amount
        data = {"amount": amount, "balance": balance, "reference": reference}
        event = Event("Deposited", json.dumps(data).encode(), tags=self._tags)
        condition = AppendCondition(self._query, after=self._position)
        self._position = client.append([event], condition)
        self._balance = balance


def measure(url: str, accounts: int, seconds: float, reference: str, threads: int) -> float:
    every = [Account(f"{threads}-{number}") for number in range(accounts)]
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        shares = [every[number::threads] for number in range(threads)]
        done = sum(pool.map(lambda share: deposit(url, share, start + seconds, reference), shares))
        return done / (time.perf_counter() - start)


def deposit(url: str, accounts: list[Account], until: float, reference: str) -> int:
    done = 0
    with Client(url) as client:
        while time.perf_counter() < until:
            accounts[done % len(accounts)].deposit(client, 1, reference)
            done += 1
    return done


if __name__ == "__main__":
    url, accounts, seconds, reference = sys.argv[1:]
    results = {
        f"{threads} threads": measure(url, int(accounts), float(seconds), reference, threads)
        for threads in THREADS
    }
    print(json.dumps(results))
