"""A process of its own that sends commands and writes down what was acknowledged.

python -m tests.faults.commander URL NAMESPACE FILE AGGREGATES COUNT CALLERS

Sends COUNT commands (0: until it is ended) to AGGREGATES counters, and appends a line
"<id> <version>" to FILE for each acknowledged one.
"""

import asyncio
import sys
from pathlib import Path
from typing import TextIO

from tests.actors.domain import Counter, model
from whence import Runtime, open_store
from whence.store.errors import OutcomeUnknown, StoreUnavailable


async def main(
    url: str, namespace: str, file: TextIO, spread: int, count: int, callers: int
) -> None:
    async with open_store(url, namespace=namespace) as store, Runtime(store, model) as runtime:
        numbers = iter(range(count or sys.maxsize))

        async def caller() -> None:
            for number in numbers:
                try:
                    receipt = await runtime.send(Counter.count, str(number % spread))
                except (OutcomeUnknown, StoreUnavailable):
                    continue
                file.write(f"{receipt.stream.id} {receipt.version}\n")

        await asyncio.gather(*[caller() for _ in range(callers)])


if __name__ == "__main__":
    url, namespace, path, *numbers = sys.argv[1:]
    spread, count, callers = map(int, numbers)
    # Line buffered: what is written is in the file, even when this process is killed.
    with Path(path).open("a", buffering=1, encoding="utf-8") as file:
        asyncio.run(main(url, namespace, file, spread, count, callers))
