"""Repairs of aiokafka, one file each.

docs/library-repairs.md says what each repairs, which private names it uses, and how to see that it can go.
"""
