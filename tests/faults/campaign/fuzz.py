"""T16: a coverage-guided fuzzer on the codec and the envelope.

``python -m tests.faults.campaign.fuzz SECONDS SEED FOLDER`` is the process of the fuzzer.
"""

import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.faults.campaign.fault import Fault, Scale, Seen, skipped

SECONDS = 120.0


def run(scale: Scale) -> Seen:
    """Fuzz for a while, from a corpus of one input for each kind of stored bytes."""
    if find_spec("atheris") is None:
        return skipped("there is no atheris for this Python (dependency group fuzz)")
    seconds = max(5, round(SECONDS * scale.part))
    command = ["-m", "tests.faults.campaign.fuzz", str(seconds), str(scale.seed), str(scale.folder)]
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=False,
    )
    said = done.stdout + done.stderr
    found = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+)", said)
    if done.returncode != 0 or not found:
        return Seen(0, "an input was found", (said[-4_000:],))
    inputs, covered = found[-1]
    what = f"{int(inputs):,} inputs in {seconds} s reached {int(covered):,} branches; 0 were wrong"
    return Seen(int(inputs), what)


def main(arguments: list[str]) -> None:
    seconds, seed, folder = arguments
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["whence", "tests.faults.hostile", "tests.evolved"]):
        hostile = import_module("tests.faults.hostile")
    corpus = Path(folder) / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(hostile.CORPUS):
        (corpus / str(number)).write_bytes(data)
    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, "-timeout=10", str(corpus)], hostile.anything)
    atheris.Fuzz()


FAULT = Fault(
    "T16 fuzzed bytes",
    "A coverage-guided fuzzer (atheris) changes stored entries, events of each stored form, "
    "metadata and ids.",
    "They are read, or refused in a sentence; what was read can be written and read again.",
    "What an operator with access to the server makes look right: its checksum can be computed.",
    run,
)

if __name__ == "__main__":
    main(sys.argv[1:])
