"""Serves the stand-in until it is told to stop; the first line it prints is its address."""

from __future__ import annotations

import argparse
import asyncio
import signal

from standin.server import StandIn
from standin.world import Pace


async def serve(pace: Pace, port: int) -> None:
    """Serve until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with StandIn(pace, port) as stand_in:
        print(stand_in.url, flush=True)  # it is for whoever started us
        await stop.wait()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="standin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port; by default a free one")
    parser.add_argument("--pages", type=float, default=1.0, help="factor of the pages' delays")
    parser.add_argument("--probes", type=float, default=1.0, help="factor of the probe's delays")
    parser.add_argument("--rates", type=float, default=1.0, help="factor of the rate limits")
    given = parser.parse_args()
    asyncio.run(serve(Pace(pages=given.pages, probes=given.probes, rates=given.rates), given.port))


if __name__ == "__main__":
    main()
