"""Delivery: results and dead letters published in input order, then committed."""
