"""All faults of the campaign, in the order in which they are begun."""

from tests.faults.campaign import (
    differential,
    fuzz,
    kills,
    mutations,
    naive,
    partition,
    power,
    seeds,
    soak,
    suites,
    troubles,
)
from tests.faults.campaign.fault import Fault

FAULTS: tuple[Fault, ...] = (
    soak.FAULT,
    seeds.FAULT,
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
)
