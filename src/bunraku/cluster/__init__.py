"""Many pieces of work on many machines, over Ray: the same `Work` that `run_here` does, in as many processes as there are accelerators."""

from bunraku.cluster.runner import ClusterOptions, cluster_runner

__all__ = ["ClusterOptions", "cluster_runner"]
