"""What every store does, a Cluster does too."""

import pytest

from tests.store.test_conformance import (  # noqa: F401  # pytest collects them here once more
    TestAppend,
    TestFeed,
    TestMoments,
    TestReading,
    TestSharing,
)


@pytest.fixture
def url(cluster_url: str) -> str:
    return cluster_url
