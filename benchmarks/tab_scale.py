"""Claim: the LoRA tab stays quick on a large run: 560 adapters × 6 metrics × 10,000 steps.

The script writes such a run once (made-up numbers, 138 MB). It opens the run in TensorBoard and in Chromium. It prints:

- the time of the first picture once the tab has read the run;
- the time of a change of metric, at once and after the tab has fetched the others in the background;
- the memory of the page's process and of TensorBoard.

    python benchmarks/tab_scale.py DIRECTORY [--adapters 560] [--metrics 6] [--steps 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

from lora_watch.base.records import AdapterInfo, RunInfo
from lora_watch.base.strict_json import strict_json
from lora_watch.format import tags
from lora_watch.sinks.event_file import put
from lora_watch.sinks.numbers import schema

METRICS = ("output_ratio", "delta_norm", "spectral_norm", "stable_rank", "a_norm", "b_norm")
TYPES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PORT = 6391


def write(folder: Path, adapters: int, metrics: int, steps: int) -> None:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    infos = tuple(
        AdapterInfo(
            f"model.layers.{i // 7}.{TYPES[i % 7]}", "Linear", i // 7, 4096, 4096, 16, 32.0, 2.0, "alpha/r", 0, 1
        )
        for i in range(adapters)
    )
    random = np.random.default_rng(0)
    level = np.exp(random.normal(0, 0.4, adapters))
    writer = EventFileWriter(str(folder))
    run = RunInfo(infos, max_steps=steps, peak_lr=(2e-4,))
    values: dict[str, Any] = {tags.SCHEMA: strict_json(schema(run))}
    for step in range(1, steps + 1):
        growth = 0.5 * step / (step + steps / 5)
        for name in METRICS[:metrics]:
            values[tags.METRIC_PREFIX + name] = growth * level * np.exp(random.normal(0, 0.05, adapters))
        loss = np.array([2 + 3 * np.exp(-5 * step / steps) + random.normal(0, 0.1)])
        values |= {tags.SERIES_PREFIX + name: loss for name in ("loss", "loss_recent")}
        values[tags.SERIES_PREFIX + "loss_start"] = np.array([5.0])
        event = Event()
        for tag, content in values.items():
            put(event, tag, content)
        values = {}
        event.step, event.wall_time = step, 1.7e9 + step
        writer.add_event(event)
    writer.close()


def get(path: str) -> bytes:
    with urllib.request.urlopen(f"http://localhost:{PORT}/data/plugin/lora_watch/{path}", timeout=120) as reply:
        return reply.read()


def wait_until_loaded(steps: int) -> float:
    start = time.monotonic()
    while time.monotonic() - start < 300:
        try:
            runs = json.loads(get("runs"))
        except OSError:
            runs = {}
        if runs and all(run["step"] == steps for run in runs.values()):
            return time.monotonic() - start
        time.sleep(0.5)
    raise TimeoutError("TensorBoard did not load the run in five minutes")


def private_memory_mb(status: Path) -> float:
    """RssAnon of a process."""
    return int(status.read_text().split("RssAnon:")[1].split()[0]) / 1024


def renderer_memory_mb() -> float:
    """That of the largest renderer process among those this process has started."""
    sizes, below = [], {os.getpid()}
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda folder: int(folder.name)):  # parents come first
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in below:
                below.add(int(folder.name))
                if b"--type=renderer" in (folder / "cmdline").read_bytes():
                    sizes.append(private_memory_mb(folder / "status"))
        except (OSError, IndexError):
            continue
    return max(sizes)


def measure() -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", "--disable-sync"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://localhost:{PORT}/#scalars")
        page.wait_for_selector("text=LoRA")
        time.sleep(3)  # TensorBoard's own start is not ours
        print(f"memory of a page that shows no LoRA tab: {renderer_memory_mb():.0f} MB")
        for view in ("overview", "heatmap"):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"http://localhost:{PORT}/#lora_watch&p.lora_watch.view={view}")
            frame = page.wait_for_selector("iframe").content_frame()
            assert frame is not None
            frame.wait_for_selector("body[data-ready]", timeout=60_000)
            ready = frame.evaluate("performance.now()")
            print(f"first picture, {view}: {ready / 1000:.2f} s after its frame opened")
        options = frame.eval_on_selector_all("#metric option", "all => all.map(option => option.value)")
        for when in ("at once", "later"):
            taken = []
            for name in [name for name in options if name != frame.input_value("#metric")]:
                seconds = frame.evaluate(
                    """name => new Promise((done) => {
                        const start = performance.now();
                        const drawn = () => done((performance.now() - start) / 1000);
                        document.addEventListener('lora-watch-drawn', drawn, {once: true});
                        const select = document.querySelector('#metric');
                        select.value = name;
                        select.dispatchEvent(new Event('change'));
                    })""",
                    name,
                )
                taken.append(seconds)
            print(f"change of metric, {when}: " + ", ".join(f"{seconds:.2f}" for seconds in taken) + " s")
        print(f"memory of the page's process: {renderer_memory_mb():.0f} MB")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--adapters", type=int, default=560)
    parser.add_argument("--metrics", type=int, default=6)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    if not list(options.directory.rglob("events.*")):
        start = time.monotonic()
        write(options.directory / "large", options.adapters, options.metrics, options.steps)
        print(f"wrote the run in {time.monotonic() - start:.0f} s")
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={options.directory}", f"--port={PORT}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            seconds = wait_until_loaded(options.steps)
            print(f"the tab has read the run after {seconds:.1f} s")
            measure()
            print(f"memory of TensorBoard's process: {private_memory_mb(Path(f'/proc/{server.pid}/status')):.0f} MB")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
