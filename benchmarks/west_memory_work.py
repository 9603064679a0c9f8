"""The process whose memory `benchmarks.west_memory` measures: one run, given on the standard input."""

import json
import sys

from benchmarks.west_memory import work

if __name__ == "__main__":
    print(json.dumps(work(*json.load(sys.stdin))))
