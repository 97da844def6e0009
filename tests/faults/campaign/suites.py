"""Faults that are tests already: run as tests, counted as faults."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.faults.campaign.fault import Fault, Scale, Seen

ROOT = Path(__file__).parents[3]
# Seconds: 10 times and more of what the slowest takes on a quiet machine.
WITHIN = 600


class _Suite:
    """Tests that share a promise."""

    def __init__(self, *selected: str) -> None:
        self._selected = selected

    def __call__(self, scale: Scale) -> Seen:
        result = scale.folder / "result.xml"
        output = _pytest(self._selected, result, scale.seed)
        passed = left_out = 0
        broken: list[str] = []
        cases = ElementTree.parse(result).findall(".//testcase")
        for case in cases:
            if case.find("failure") is not None or case.find("error") is not None:
                broken.append(f"{case.get('classname')}::{case.get('name')}\n{output[-4000:]}")
            elif case.find("skipped") is not None:
                left_out += 1
            else:
                passed += 1
        if not cases:
            broken.append(f"no test ran:\n{output[-4000:]}")
        skips = f", {left_out} skipped (what they need is not on this machine)" if left_out else ""
        return Seen(
            len(cases), f"{passed} tests passed, {len(broken)} failed{skips}", tuple(broken)
        )


def _pytest(selected: Sequence[str], result: Path, seed: int) -> str:
    options = ["-q", "-n", "0", "--timeout=600", f"--randomly-seed={seed}", f"--junitxml={result}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *selected],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WITHIN - 5,
        check=False,
    )
    return done.stdout + done.stderr


FAULTS = (
    Fault(
        "T2 planted mutations, on a real server",
        "Scenarios with a check taken out of the append: of the command id, the version, the row, "
        "the memory of commands.",
        "Each is found.",
        "Mutations that another check makes up for.",
        _Suite("tests/faults/test_mutations.py"),
        WITHIN,
    ),
    Fault(
        "T2 lost replies, killed and rival processes",
        "A proxy loses requests and replies; two processes command one aggregate; four processes "
        "with 50,000 commands, 20 of them killed; every history goes through the checker.",
        "A command is stored once, in the order that its callers saw, whoever dies.",
        "That a caller whose process dies learns what became of its command.",
        _Suite(
            "tests/faults/test_lost_replies.py",
            "tests/faults/test_two_processes.py",
            "tests/faults/test_stress.py",
        ),
        WITHIN,
    ),
    Fault(
        "T6 double start, AOF over RDB, ends of programs",
        "Second starts on one directory from the same and other processes, SIGKILL and SIGTERM of "
        "the parent, RDB files without a log, logs without their manifest, torn and zero-filled "
        "tails.",
        "One server per directory; a start that would lose events is refused with a sentence.",
        "Servers that others start on the directory without our lock.",
        _Suite("tests/store/test_embedded.py"),
        WITHIN,
    ),
    Fault(
        "T7, T8 limited users, durability, SCRIPT FLUSH",
        "Users without some commands or keys; servers that keep less than promised, or come back "
        "so; forgotten scripts; replicas that do not acknowledge.",
        "A clear error, and nothing is written; what was promised is kept or refused.",
        "Redis before the fix of its issue 14541 with a limited default user: see docs/servers.md.",
        _Suite("tests/store/test_acl.py", "tests/store/test_durability.py"),
        WITHIN,
    ),
    Fault(
        "T10 Cluster: reshard and failover",
        "Every slot moves under load, key by key and at once; primaries are killed and hand over.",
        "No event lost, doubled or in a gap; with replicated:1 a killed primary loses nothing "
        "acknowledged.",
        "With fsync alone, what a killed primary had not replicated yet.",
        _Suite("tests/faults/test_cluster.py"),
        WITHIN,
    ),
    Fault(
        "T9 failover by Sentinel",
        "The primary is killed, hangs, or hands over under load.",
        "With replicated:1 nothing acknowledged is lost.",
        "With fsync alone, what was not replicated yet.",
        _Suite("tests/store/test_sentinel.py"),
        WITHIN,
    ),
    Fault(
        "T11, T12 lost reads and zombies",
        "Replies of reads, commits and acquisitions are lost; readers steal from the group; "
        "workers are killed, paused and fenced; views in Redis and in SQL.",
        "Each event takes effect in a view once, in order; a zombie changes nothing.",
        "Effects outside of a view.",
        _Suite(
            "tests/projections/test_faults.py",
            "tests/projections/test_leases.py",
            "tests/projections/test_sql.py",
        ),
        WITHIN,
    ),
    Fault(
        "T15 releases: old data, and two in one fleet",
        "The data directory of version 0.1 is loaded, replayed, projected and continued. Two "
        "releases command the same accounts of one server and keep one view, while the newer one "
        "writes a field with a default, or another schema version of an event.",
        "Every stored event stays readable, and its command ids stay known. A field that a release "
        "does not know is passed over. A schema version that it does not know is refused: its "
        "commands there fail before anything is stored, its views park the account, and the newer "
        "release applies what waits.",
        "That an older release reads a type or a schema version from after its time.",
        _Suite(
            "tests/golden",
            "tests/projections/test_evolution.py",
            "tests/faults/test_two_releases.py",
        ),
        WITHIN,
    ),
    Fault(
        "T16 hostile input",
        "Bad ids, bodies, media types, sizes and nesting over HTTP and NDJSON, a generator of "
        "requests against the OpenAPI document, stored bytes that were changed, addresses and "
        "settings that cannot be. CloudEvents are only written, never read.",
        "A clear error; nothing is stored, nothing else is harmed.",
        "Fairness between hostile and honest callers beyond the limits of docs/http.md.",
        _Suite(
            "tests/web/test_bad_input.py",
            "tests/web/test_hostile_requests.py",
            "tests/web/test_bulk.py",
            "tests/store/test_codec.py",
            "tests/store/test_recorded.py",
            "tests/store/test_ids.py",
            "tests/store/test_address.py",
            "tests/cli/test_settings.py",
        ),
        WITHIN,
    ),
)
