"""Repairs of aiokafka, one file each."""
