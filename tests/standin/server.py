"""The stand-in as a server: in this process, or in one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from standin import hosts, paginated
from standin.answers import WORLD, answer
from standin.world import Pace, World

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
STOP_SECONDS: Final = 10.0

control = web.RouteTableDef()


@control.post("/standin/reset")
async def reset(request: web.Request) -> web.Response:
    request.app[WORLD].reset()
    return answer({"status": "reset"})


@control.post("/standin/echo")
async def switch_echo(request: web.Request) -> web.Response:
    is_on = request.query.get("on", "true").lower() == "true"
    request.app[WORLD].echo_is_on = is_on
    return answer({"on": is_on})


def make_app(pace: Pace) -> web.Application:
    """Return the application."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app[WORLD] = World(pace)
    for table in (control, paginated.routes, hosts.routes):
        app.add_routes(table)
    return app


class StandIn:
    """A stand-in in this process, on a free port."""

    def __init__(self, pace: Pace | None = None, port: int = 0) -> None:
        self._runner = web.AppRunner(make_app(pace or Pace()), access_log=None)
        self._port = port
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()


class StandInProcess:
    """A stand-in in a process of its own, so that it takes no time of who is tested."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        pace = self._pace
        options = [f"--pages={pace.pages}", f"--probes={pace.probes}", f"--rates={pace.rates}"]
        tests = str(Path(__file__).parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "standin", *options],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": tests},
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the stand-in did not start")
        return self

    def __exit__(self, *exc: object) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
