"""``python -m tests.faults.campaign.child NAME PART SEED SECONDS FOLDER`` runs one fault.

What was seen is written to FOLDER/result; FOLDER/work is the folder of the fault.
"""

import logging
import sys
from pathlib import Path

import msgspec

from tests.faults.campaign.catalogue import FAULTS
from tests.faults.campaign.fault import Scale


def main(arguments: list[str]) -> None:
    name, part, seed, seconds, folder = arguments
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    logging.disable(logging.CRITICAL)  # what the faults make the libraries say
    work = Path(folder) / "work"
    work.mkdir()
    seen = fault.run(Scale(float(part), int(seed), work, float(seconds)))
    (Path(folder) / "result").write_bytes(msgspec.json.encode(seen))


if __name__ == "__main__":
    main(sys.argv[1:])
