"""All faults of the campaign, in the order in which they are run."""

from tests.faults.campaign import (
    differential,
    fuzz,
    kills,
    mutations,
    naive,
    partition,
    power,
    seeds,
    suites,
    troubles,
)
from tests.faults.campaign.fault import Fault

FAULTS: tuple[Fault, ...] = (
    kills.VALKEY,
    kills.REDIS,
    power.FAULT,
    *troubles.FAULTS,
    partition.FAULT,
    differential.FAULT,
    *naive.FAULTS,
    *suites.FAULTS,
    fuzz.FAULT,
    mutations.FAULT,
    # Last, for it goes on for as long as there is time.
    seeds.FAULT,
)
