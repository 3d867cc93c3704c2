"""TensorBoard with the tab: inside this process for the routes, as a process of its own for the browser."""

import json
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard import default, program
from tensorboard.backend import application
from werkzeug.test import Client, TestResponse


@dataclass
class Table:
    """What a binary route answered."""

    header: dict[str, Any]
    low: np.ndarray
    high: np.ndarray
    flags: np.ndarray

    @classmethod
    def parse(cls, body: bytes) -> "Table":
        length = int.from_bytes(body[:4], "little")
        header = json.loads(body[4 : 4 + length])
        columns, n = header["shape"]
        planes = np.frombuffer(body, np.uint8, -1, 4 + length)
        planes = planes.reshape(-1 if n * columns else 5, n, columns).T  # [column, item, byte]
        numbers = np.ascontiguousarray(planes[..., :-1]).view("<f4")
        return cls(header, numbers[..., 0], numbers[..., -1], planes[..., -1])


class Tab:
    """The routes of the tab."""

    def __init__(self, app: Any):
        self._client = Client(app)

    def reply(self, route: str, **query: Any) -> TestResponse:
        return self._client.get(f"/data/plugin/lora_watch/{route}", query_string=query)

    def json(self, route: str, **query: Any) -> Any:
        reply = self.reply(route, **query)
        assert reply.status_code == 200, reply.get_data(as_text=True)
        return json.loads(reply.get_data(as_text=True))

    def table(self, route: str, **query: Any) -> Table:
        reply = self.reply(route, **query)
        assert reply.status_code == 200, reply.get_data(as_text=True)
        return Table.parse(reply.get_data())


@contextmanager
def routes(logdir: Path) -> Iterator[Tab]:
    """The real application over ``logdir``, with the default flags of TensorBoard and the tab."""
    board = program.TensorBoard(plugins=default.get_plugins())  # the tab among them, by its entry point
    board.configure(["", f"--logdir={logdir}", "--load_fast=false", "--reload_interval=0", "--reload_task=blocking"])
    data, multiplexer = board._make_data_provider()
    yield Tab(
        application.TensorBoardWSGIApp(board.flags, board.plugin_loaders, data, board.assets_zip_provider, multiplexer)
    )


@contextmanager
def server(logdir: Path, *flags: str, prefix: str = "", ready: str = "data/plugin/lora_watch/runs") -> Iterator[str]:
    """The address of a TensorBoard process over ``logdir``, once the route ``ready`` has something to say."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", f"--port={port}", "--load_fast=false"]
    address = f"http://localhost:{port}{prefix}"
    with subprocess.Popen(
        [*command, "--reload_interval=1", *flags], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        try:
            deadline = time.monotonic() + 180
            while not fetch(address, ready):
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise RuntimeError(f"TensorBoard did not serve the runs:\n{process.communicate()[1]}")
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def fetch(address: str, route: str, **query: str) -> Any:
    """The JSON that ``route`` answers; None where nobody answers it."""
    url = f"{address}/{route}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return json.load(reply)
    except OSError:
        return None
