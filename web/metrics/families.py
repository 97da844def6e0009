"""Metrics in the form of Prometheus: a name, what it means, and values by their labels."""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from whence.actors.metrics import Distribution

# The values of the labels, in the order of their names.
Labels = tuple[str, ...]


class Source(Protocol):
    """Something that a process can tell about itself."""

    async def families(self) -> Iterable[Metric]:
        """Its metrics as they are now; those that cannot be had are left out."""
        ...


def gauge(
    name: str, about: str, values: Mapping[Labels, float], labels: Labels = ()
) -> GaugeMetricFamily:
    """Something that goes up and down."""
    family = GaugeMetricFamily(name, about, labels=labels)
    for labelled, value in values.items():
        family.add_metric(labelled, value)
    return family


def counter(
    name: str, about: str, values: Mapping[Labels, float], labels: Labels = ()
) -> CounterMetricFamily:
    """Something that only grows; it is shown as ``<name>_total``."""
    family = CounterMetricFamily(name, about, labels=labels)
    for labelled, value in values.items():
        family.add_metric(labelled, value)
    return family


def histogram(
    name: str, about: str, values: Mapping[Labels, Distribution], labels: Labels = ()
) -> HistogramMetricFamily:
    """How often which values were seen."""
    family = HistogramMetricFamily(name, about, labels=labels)
    for labelled, seen in values.items():
        bounds = [*map(_shown, seen.bounds), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(seen.counts)), strict=True))
        family.add_metric(labelled, buckets, seen.total)
    return family


def _shown(bound: float) -> str:
    """Without the digits that a sum of powers of two has in excess: 5e-06."""
    return str(float(f"{bound:g}"))
