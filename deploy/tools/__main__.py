"""``python -m deploy.tools``: bring tools into ``build/tools/``; what is there already costs nothing.

Without arguments: what is needed every day. ``--cluster``: also what `cluster.sh` starts. Or by name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from deploy.tools.catalogue import CLUSTER, EVERYDAY
from deploy.tools.places import BIN, ToolError, alone, say


def main() -> int:
    """Exit code 0, or 1 with a line that says what is not to be had."""
    providers: dict[str, Callable[[], object]] = {**EVERYDAY, **CLUSTER}
    parser = argparse.ArgumentParser(prog="python -m deploy.tools", description=__doc__.split("\n")[0])
    parser.add_argument("--cluster", action="store_true", help="also the control plane that cluster.sh starts")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these, of: {', '.join(providers)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(providers):
        parser.error(f"no tool is called {', '.join(sorted(unknown))}; there are: {', '.join(providers)}")
    wanted = arguments.names or (list(providers) if arguments.cluster else list(EVERYDAY))
    try:
        with alone():
            for name in wanted:
                providers[name]()
    except ToolError as error:
        say(f"error: {error}")
        return 1
    say(f"{len(wanted)} tools are in {BIN.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
