"""The watchdog: whether the worker moves while there is something to do."""

from __future__ import annotations


class Progress:
    """Notes when something last moved. Pure: the time is passed in, in monotonic seconds."""

    def __init__(
        self, stall_timeout_s: float, rebalance_timeout_s: float, *, start_timeout_s: float, started_at: float
    ) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._rebalance_timeout_s = rebalance_timeout_s
        self._start_timeout_s = start_timeout_s
        self._starting = True
        self._unassigned = True
        self._moved_at = started_at
        self._shut_out_since: float | None = None
        self._running: dict[int, float] = {}
        """Batches that are being computed, by a number, and since when."""
        self._last_number = 0

    def joining(self, now: float) -> None:
        """All is loaded and found: the first assignment is waited for."""
        self._starting = False
        self.unassigned(now)

    def assigned(self, now: float) -> None:
        """Partitions were assigned; the clock starts anew."""
        self._starting = False
        self._unassigned = False
        self._moved_at = now

    def unassigned(self, now: float) -> None:
        """The assignment is over: whoever is the slowest of the group takes `rebalance_timeout_s` for the next one."""
        self._unassigned = True
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
        """There is nothing to do, or nobody to do it with: standing still is right."""
        self._moved_at = now

    def shut_out(self, now: float) -> None:
        """The broker answers a client that starts now, and not this worker: that does not pass by itself."""
        if self._shut_out_since is None:
            self._shut_out_since = now

    def let_in(self) -> None:
        """The broker answers this worker, or nobody."""
        self._shut_out_since = None

    def problem(self, now: float) -> str | None:
        """Why the worker is no longer alive; None while it is."""
        since = min(self._running.values(), default=now)
        if now - since > self._stall_timeout_s:
            return f"the session has computed one batch for {now - since:.0f} s"
        if self._shut_out_since is not None and now - self._shut_out_since > self._stall_timeout_s:
            shut_out_s = now - self._shut_out_since
            return f"the broker answers other clients, and has not answered this worker for {shut_out_s:.0f} s"
        stood_still_s = now - self._moved_at
        if self._starting:
            if stood_still_s > self._stall_timeout_s + self._start_timeout_s:
                return f"the start has taken {stood_still_s:.0f} s and is not over"
        elif self._unassigned:
            if stood_still_s > self._stall_timeout_s + self._rebalance_timeout_s:
                return f"no partitions have been assigned for {stood_still_s:.0f} s"
        elif stood_still_s > self._stall_timeout_s:
            return f"offsets have not advanced for {stood_still_s:.0f} s although there is lag"
        return None
