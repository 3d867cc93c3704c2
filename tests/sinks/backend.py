"""The real TensorBoard application in this process, with either of its two loaders."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard import context, default, program
from tensorboard.backend import application
from tensorboard.data import provider, server_ingester
from werkzeug.test import Client

from lora_watch.format import tags

LOADERS = {"python": "--load_fast=false", "rust": "--load_fast=true"}
BY_EITHER_LOADER = pytest.mark.parametrize("loader", list(LOADERS))


class Backend:
    def __init__(self, app: Any, data: Any):
        self._client, self._data = Client(app), data
        self._context = context.RequestContext()

    def get(self, route: str, **query: str) -> Any:
        response = self._client.get(f"/data/{route}", query_string=query)
        assert response.status_code == 200, response.get_data(as_text=True)
        return json.loads(response.get_data(as_text=True))

    def session_groups(self) -> list[dict[str, Any]]:
        """What the hyperparameters tab lists."""
        statuses = [f"STATUS_{status}" for status in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]
        request = {"allowedStatuses": statuses, "sliceSize": 100}
        response = self._client.post("/data/plugin/hparams/session_groups", json=request)
        assert response.status_code == 200, response.get_data(as_text=True)
        return json.loads(response.get_data(as_text=True))["sessionGroups"]

    def scalar_tags(self) -> dict[str, dict[str, Any]]:
        return self._data.list_scalars(self._context, experiment_id="", plugin_name="scalars")

    def tensors(self, tag: str, run: str = ".") -> list[tuple[int, np.ndarray]]:
        found = self._data.read_tensors(
            self._context,
            experiment_id="",
            plugin_name=tags.PLUGIN_NAME,
            downsample=100_000,
            run_tag_filter=provider.RunTagFilter(runs=[run], tags=[tag]),
        )
        return [(datum.step, datum.numpy) for datum in found.get(run, {}).get(tag, [])]

    def json(self, tag: str, run: str = ".") -> list[tuple[int, Any]]:
        return [(step, json.loads(array.item())) for step, array in self.tensors(tag, run)]

    def scalars(self, tag: str, run: str = ".") -> list[tuple[int, float]]:
        points = self.get("plugin/scalars/scalars", run=run, tag=tag)
        return [(step, float(value)) for _, step, value in points]

    def wait_until_loaded(self) -> None:
        """The data server reads on its own: until two looks half a second apart see the same."""
        before, deadline = None, time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.5)
            ours = self._data.list_tensors(self._context, experiment_id="", plugin_name=tags.PLUGIN_NAME)
            now = {
                (run, tag): series.max_step
                for listing in (ours, self.scalar_tags())
                for run, by_tag in listing.items()
                for tag, series in by_tag.items()
            }
            if now and now == before:
                return
            before = now
        raise TimeoutError("TensorBoard loaded nothing within a minute")


@contextmanager
def tensorboard(logdir: Path, loader: str) -> Iterator[Backend]:
    """TensorBoard over what is in ``logdir`` now. Skips where TensorBoard has no data server for the platform."""
    if loader == "rust":
        try:
            server_ingester.get_server_binary()
        except server_ingester.NoDataServerError as error:
            pytest.skip(f"--load_fast=true cannot be tested here: {error}")
    board = program.TensorBoard(plugins=default.get_plugins())
    keep_all = "--samples_per_plugin=lora_watch=0,scalars=100000,text=1000"
    board.configure(
        ["", f"--logdir={logdir}", LOADERS[loader], keep_all, "--reload_interval=0", "--reload_task=blocking"]
    )
    data, multiplexer = board._make_data_provider()
    try:
        app = application.TensorBoardWSGIApp(
            board.flags, board.plugin_loaders, data, board.assets_zip_provider, multiplexer
        )
        backend = Backend(app, data)
        if loader == "rust":
            backend.wait_until_loaded()
        yield backend
    finally:
        if loader == "rust":
            board._ingester._stdin_handle.close()  # the server ends with its standard input
