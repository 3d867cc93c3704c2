"""Makes the pictures of the README from real runs: a healthy adapter, one that explodes, a sweep over the rank.

Run from the repository's root; needs the packages of the ``dev`` extra and Chromium (``CHROMIUM`` names another one).

    python examples/screenshots.py [--out docs] [--steps 150] [--logdir where the runs are kept]

It trains eight runs, in four minutes of one core. With ``--logdir`` they are kept; the next call draws them alone.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

VIEWS = ("overview", "heatmap", "layer", "alerts", "compare")
RANKS = (2, 4, 8, 16, 32, 64)


def take(logdir: Path, out: Path) -> None:
    """``lora-tab-light.png`` and ``lora-tab-dark.png`` show the overview; one picture of each other view."""
    from playwright.sync_api import sync_playwright

    from tests.tensorboard_plugin.real_runs import EXPLODED, HEALTHY
    from tests.tensorboard_plugin.serving import fetch, server

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    with server(logdir) as address, sync_playwright() as playwright:
        expected = {str(file.parent.relative_to(logdir)) for file in logdir.rglob("events.*")}
        while not expected <= set(fetch(address, "data/plugin/lora_watch/runs") or ()):
            time.sleep(0.5)
        time.sleep(3)  # the last of them is read to its end
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for view in VIEWS:
            for mode, run in (("light", EXPLODED), ("dark", HEALTHY)) if view == "overview" else (("light", EXPLODED),):
                page = browser.new_page(
                    viewport={"width": 1280, "height": 460 if view == "compare" else 940}, device_scale_factor=1.5
                )
                state = {"view": view, "run": run}
                page.goto(
                    "&".join([f"{address}/#lora_watch", *(f"p.lora_watch.{k}={quote(v)}" for k, v in state.items())])
                )
                frame = page.locator("iframe").element_handle().content_frame()
                assert frame is not None
                frame.wait_for_selector(f"body[data-ready={view}]")
                if mode == "dark":
                    page.click("app-header-dark-mode-toggle button")
                    page.locator(".cdk-overlay-container").get_by_text("Dark", exact=True).click()
                page.wait_for_timeout(800)
                name = f"lora-tab-{mode}.png" if view == "overview" else f"lora-tab-{view}.png"
                save(page.screenshot(), out / name)
                page.close()
        browser.close()


def save(png: bytes, path: Path) -> None:
    """A third of the size: these pictures have few colours. The method keeps the rare ones, such as that of a NaN."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE, kmeans=2)
    few.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--logdir", type=Path, help="trained into if it is empty, else shown as it is")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        logdir = options.logdir or Path(scratch)
        if not list(logdir.rglob("events.*")):
            from tests.tensorboard_plugin.real_runs import train_into, train_pair

            train_pair(logdir, options.steps, batch=8)
            for r in RANKS:
                train_into(logdir / f"r{r}", options.steps, r=r, alpha=2 * r, lr=2e-3)
        take(logdir, options.out)


if __name__ == "__main__":
    main()
