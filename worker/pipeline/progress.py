"""The watchdog: whether the worker moves while there is something to do."""

from __future__ import annotations


class Progress:
    """Notes when something last moved. Pure: the time is passed in, in monotonic seconds."""

    def __init__(self, stall_timeout_s: float) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._moved_at: float | None = None
        self._running: dict[int, float] = {}
        """Batches that are being computed, by a number, and since when."""
        self._last_number = 0

    def assigned(self, now: float) -> None:
        """Partitions were assigned; the clock starts anew."""
        self._moved_at = now

    def advanced(self, now: float) -> None:
        """Outputs were acknowledged, so offsets advance."""
        self._moved_at = now

    def inference_started(self, now: float) -> int:
        """The session began with a batch; answers its number, for `inference_finished`."""
        # That it starts is progress too: a session that hangs is then named before the lag that it causes.
        self._moved_at = now
        self._last_number += 1
        self._running[self._last_number] = now
        return self._last_number

    def inference_finished(self, number: int, now: float) -> None:
        """The session has answered for the batch of this number."""
        del self._running[number]
        self._moved_at = now

    def caught_up(self, now: float) -> None:
        """There is nothing to do: standing still is right."""
        self._moved_at = now

    def problem(self, now: float) -> str | None:
        """Why the worker is no longer alive; None while it is."""
        since = min(self._running.values(), default=now)
        if now - since > self._stall_timeout_s:
            return f"the session has computed one batch for {now - since:.0f} s"
        if self._moved_at is not None and now - self._moved_at > self._stall_timeout_s:
            return f"offsets have not advanced for {now - self._moved_at:.0f} s although there is lag"
        return None
