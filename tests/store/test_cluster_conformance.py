"""What every store does, a Cluster does too."""

import pytest

from tests.store import test_conformance as conformance


@pytest.fixture
def url(cluster_url: str) -> str:
    return cluster_url


class TestAppendInACluster(conformance.TestAppend):
    pass


class TestFeedInACluster(conformance.TestFeed):
    pass


class TestReadingInACluster(conformance.TestReading):
    pass


class TestMomentsInACluster(conformance.TestMoments):
    pass


class TestSharingInACluster(conformance.TestSharing):
    pass
