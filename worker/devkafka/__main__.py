"""``python -m worker.devkafka``: a Kafka that runs until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from worker.devkafka import DevKafkaError, kafka_cluster
from worker.devkafka.choose import SIZES


def main(arguments: list[str] | None = None) -> int:
    """Start a cluster, print its bootstrap servers on a line of their own, run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m worker.devkafka", description=__doc__)
    parser.add_argument("--brokers", type=int, choices=SIZES, default=1, help="how many brokers (default: 1)")
    parser.add_argument("--local", action="store_true", help="brokers of our own, whatever else there is")
    options = parser.parse_args(arguments)
    # Both signals become exceptions, so that the cluster is stopped on the way out, even while it starts.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        with kafka_cluster(options.brokers, kind="local" if options.local else None, say=_say) as cluster:
            _say(f"Kafka ({cluster.kind}) is ready; Ctrl-C stops it")
            sys.stdout.write(f"{cluster.bootstrap_servers}\n")
            sys.stdout.flush()
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except DevKafkaError as error:
        _say(str(error))
        return int(error.exit_code)


def _stop(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not interrupt the stopping.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
