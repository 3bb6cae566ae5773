"""``python -m worker.cli``: the same as ``reviews-worker``."""

from worker.cli import main

main()
