"""Hypothesis without a clock: a busy machine is no reason to fail. ``--hypothesis-profile=thorough`` looks longer."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2_000)
settings.load_profile("default")
