"""``python -m bench [--only commands,http]``: print one JSON line per figure."""

import argparse
from collections.abc import Callable, Iterator

from bench import (
    append,
    bulk,
    commands,
    fairness,
    freshness,
    growth,
    http,
    http_get,
    http_latency,
    latency,
    load,
    memory,
    processes,
    projection,
    reads,
    rebuild,
    workers,
)
from bench.figure import Figure
from whence.cli.running import relax_gc

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "append": append.figures,
    "commands": commands.figures,
    "latency": latency.figures,
    "fairness": fairness.figures,
    "http": http.figures,
    "http_get": http_get.figures,
    "http_latency": http_latency.figures,
    "bulk": bulk.figures,
    "load": load.figures,
    "projection": projection.figures,
    "workers": workers.figures,
    "rebuild": rebuild.figures,
    "freshness": freshness.figures,
    "memory": memory.figures,
    "growth": growth.figures,
    "reads": reads.figures,
    "processes": processes.figures,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Whence on this machine.")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="names, with commas between")
    chosen = parser.parse_args().only.split(",")
    unknown = sorted(set(chosen) - set(BENCHMARKS))
    if unknown:
        parser.error(
            f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}"
        )
    relax_gc()  # as whence web and whence worker do
    for name in chosen:
        for figure in BENCHMARKS[name]():
            print(figure.as_json(), flush=True)


if __name__ == "__main__":
    main()
