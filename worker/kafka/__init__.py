"""Kafka: topics, clients and security; `compat` has every repair of aiokafka."""
