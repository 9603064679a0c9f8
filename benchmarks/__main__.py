"""`make bench`: every benchmark, each beside a peer or the limit in one run. `python -m benchmarks NAME` runs one."""

import sys
from importlib import import_module

NAMES = (
    "limiter",
    "west_fetch",
    "west_memory",
    "item_updates",
    "bib_import",
    "bib_orders",
    "bib_file",
    "dcb_reducer",
    "dcb_sweep",
    "ledger",
    "marc_reading",
    "pages",
)


def main() -> int:
    """Run the benchmarks named on the command line, or all of them."""
    names = sys.argv[1:] or list(NAMES)
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        print(f"No such benchmark: {', '.join(unknown)}. There are {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    failed = 0
    for name in names:
        print(f"=== {name}", flush=True)
        failed |= import_module(f"benchmarks.{name}").main([])
    return failed


if __name__ == "__main__":
    sys.exit(main())
