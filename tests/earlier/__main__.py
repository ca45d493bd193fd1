"""``python -m earlier NAME``: record logs as this release writes them, for later ones to read."""

from __future__ import annotations

import sys

import msgspec

from arcbook.testing.clock import run_virtually
from earlier.recording import LOGS, recorded


def main() -> int:
    """Record, and say where."""
    file = LOGS / f"{sys.argv[1]}.json"
    data = msgspec.json.format(msgspec.json.encode(run_virtually(recorded())), indent=1)
    file.write_bytes(data + b"\n")
    print(f"earlier: {len(data):,} bytes in {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
