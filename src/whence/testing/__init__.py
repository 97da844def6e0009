"""For the tests of those who use Whence: sentences about aggregates, and what stands beside them.

    given(Order).when(Order.ship, carrier="DHL").then_rejected("cannot be shipped")

Beside it are whence.testing.machine (random commands, by Hypothesis), whence.testing.plugin
(fixtures for pytest) and whence.testing.store_conformance (for another server).
"""

from whence.testing.kit import Given, Outcome, given

__all__ = ["Given", "Outcome", "given"]
