"""The model as the service uses it: session, tokeniser and the batch limits that suit the provider."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from worker.batching import BatchLimits, ShapeLadder
from worker.errors import UsageError
from worker.inference import Artifact, Session, SessionOptions, open_session
from worker.inference.calibration import UNCALIBRATED, Calibration
from worker.inference.golden import GoldenSet
from worker.observability.metrics import Metrics
from worker.settings import Settings
from worker.tokenization.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

# Measured: docs/batching.md.
CPU_BATCH_TOKENS, CPU_BATCH_REVIEWS = 1024, 32
GPU_BATCH_TOKENS, GPU_BATCH_REVIEWS = 32_768, 256
WINDOW_BATCHES = 8


@dataclass(frozen=True)
class Model:
    """A session that is warm, and what goes with it."""

    identity: str
    labels: tuple[str, ...]
    tokenizer: Tokenizer
    session: Session
    limits: BatchLimits
    calibration: Calibration = UNCALIBRATED

    @property
    def provider(self) -> str:
        """Where the session computes: ``cpu`` or ``cuda``."""
        return self.session.provider


def load_model(settings: Settings, metrics: Metrics) -> Model:
    """Load the artifact, open its session, warm it up and check its golden set. Takes seconds.

    Raises ArtifactError, UsageError for settings that do not fit the model, and InferenceError where the session does
    not compute at all.
    """
    artifact = Artifact.load(settings.model)
    plain = artifact.load_tokeniser()
    tokenizer = plain.with_overflow(settings.reading)
    session = open_session(artifact, SessionOptions.of(settings))
    session.warm_up()
    difference = GoldenSet.load(artifact.golden_path).check(plain, session)
    _log.info("%s says what it said when it was imported (largest difference %.1g)", artifact.identity, difference)
    metrics.provider.labels(session.provider).set(1)
    metrics.gpu_fallback.set(session.fell_back)
    metrics.model.labels(artifact.name, artifact.version, artifact.precision).set(1)
    limits = batch_limits(settings, session.provider, artifact.max_length)
    return Model(artifact.identity, artifact.labels, tokenizer, session, limits, artifact.calibration)


def batch_limits(settings: Settings, provider: str, max_length: int) -> BatchLimits:
    """The limits that the operator chose, or else the provider's defaults.

    Raises UsageError when a batch could not hold one review of full length.
    """
    gpu = provider == "cuda"
    tokens = settings.max_batch_tokens or (GPU_BATCH_TOKENS if gpu else CPU_BATCH_TOKENS)
    reviews = settings.max_batch_reviews or (GPU_BATCH_REVIEWS if gpu else CPU_BATCH_REVIEWS)
    if tokens < max_length:
        raise UsageError(
            f"max_batch_tokens is {tokens}, less than one review of {max_length} tokens; set it to {max_length} or more"
        )
    window = settings.batch_window_reviews or min(WINDOW_BATCHES * reviews, settings.max_in_flight_reviews)
    ladder = ShapeLadder.up_to(max_length, reviews) if gpu else None
    return BatchLimits(tokens, reviews, window, settings.linger_s, settings.max_wait_s, ladder)
