"""One Ray cluster for all tests of the room: two machines with one CPU each, which are processes here."""

import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """Two nodes of one CPU; skipped where Ray is not installed."""
    ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # a busy machine is no fault
    nodes = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    nodes["_system_config"] = {"health_check_timeout_ms": 100_000}
    cluster = Cluster(initialize_head=True, head_node_args=nodes)
    cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    ray.init(cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
