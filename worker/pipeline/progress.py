"""The watchdog: whether the worker moves while there is something to do."""

from __future__ import annotations


class Progress:
    """Notes when something last moved. Pure: the time is passed in, in monotonic seconds."""

    def __init__(self, stall_timeout_s: float) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._moved_at: float | None = None
        self._batches = 0
        self._inference_started_at: float | None = None

    def assigned(self, now: float) -> None:
        """Partitions were assigned; the clock starts anew."""
        self._moved_at = now

    def advanced(self, now: float) -> None:
        """Outputs were acknowledged, so offsets advance."""
        self._moved_at = now

    def inference_started(self, now: float) -> None:
        """A batch went to the session; it waits while another one is computed."""
        if self._batches == 0:
            # That it starts is progress too: a session that hangs is then named before the lag that it causes.
            self._inference_started_at = self._moved_at = now
        self._batches += 1

    def inference_finished(self, now: float) -> None:
        """The session answered for the oldest batch, and turns to the next."""
        self._batches -= 1
        self._inference_started_at = now if self._batches else None
        self._moved_at = now

    def caught_up(self, now: float) -> None:
        """There is nothing to do: standing still is right."""
        self._moved_at = now

    def problem(self, now: float) -> str | None:
        """Why the worker is no longer alive; None while it is."""
        if self._inference_started_at is not None and now - self._inference_started_at > self._stall_timeout_s:
            return f"the session has computed one batch for {now - self._inference_started_at:.0f} s"
        if self._moved_at is not None and now - self._moved_at > self._stall_timeout_s:
            return f"offsets have not advanced for {now - self._moved_at:.0f} s although there is lag"
        return None
