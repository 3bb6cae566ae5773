"""A real Apache Kafka for tests, benchmarks and the demo; with Docker or without, with Java or without.

The running worker never imports this package. What it needs beyond the worker comes with the extra ``demo``.
"""

from worker.devkafka.choose import kafka_cluster
from worker.devkafka.cluster import Cluster, DevKafkaError, Kind
from worker.devkafka.local import LocalCluster

__all__ = ["Cluster", "DevKafkaError", "Kind", "LocalCluster", "kafka_cluster"]
