"""What a worker's ``/metrics`` says, by short names."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def samples_of(text: str) -> dict[str, float]:
    """All samples, by name without the prefix and with labels as in ``dead_letters_total{reason=not_json}``."""
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            name = sample.name.removeprefix("reviews_worker_")
            samples[f"{name}{{{labels}}}" if labels else name] = sample.value
    return samples
