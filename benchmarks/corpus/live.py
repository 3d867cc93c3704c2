"""Train runs of the corpus as users run them, under the callback, and print what it says of each.

    python -m benchmarks.corpus.live smollm2_python_r8_s16_lr0.003

A run counts if its name begins so. Nothing is stored.
"""

from __future__ import annotations

import argparse
import tempfile

import torch

from benchmarks.corpus.generate import plan, train
from lora_watch import LoraWatchCallback


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="how the names of the runs begin")
    wanted = parser.parse_args().name
    torch.set_num_threads(1)
    for spec in plan():
        if spec.name.startswith(wanted):
            callback = LoraWatchCallback(fail_on="never", console=False, tensorboard=False)
            with tempfile.TemporaryDirectory() as folder:
                _, before, after = train(spec, folder, callback)
            print(f"{spec.name}: held-out loss {before:.3f} → {after:.3f}", flush=True)
            for alert in callback.monitor.alerts if callback.monitor is not None else ():
                print(f"  {alert.severity.name} {alert.rule} at step {alert.step}: {alert.message}", flush=True)


if __name__ == "__main__":
    main()
