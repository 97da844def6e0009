"""``python -m tests.faults.simulation --seed 17`` runs the simulation of a seed again."""

import sys

from tests.faults.simulation.cli import main

sys.exit(main(sys.argv[1:]))
