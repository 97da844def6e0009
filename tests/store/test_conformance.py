"""The suite that every store has to pass, on each server that this release names."""

import pytest

from whence.testing.store_conformance import StoreConformance


class TestMemory(StoreConformance):
    @pytest.fixture
    def url(self, namespace: str) -> str:
        return f"memory://{namespace}"


class TestValkey9(StoreConformance):
    @pytest.fixture
    def url(self, valkey_url: str) -> str:
        return valkey_url


class TestValkey8(StoreConformance):
    @pytest.fixture
    def url(self, valkey8_url: str) -> str:
        return valkey8_url


class TestRedis(StoreConformance):
    @pytest.fixture
    def url(self, redis_url: str) -> str:
        return redis_url


class TestCluster(StoreConformance):
    @pytest.fixture
    def url(self, cluster_url: str) -> str:
        return cluster_url
