"""A process that takes part in a search, to be killed: ``python -m tests.search.workers STORAGE LOG SECONDS``.

STORAGE is a file: an SQLite database, or with the suffix .journal Optuna's journal.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from lora_watch.search import Configuration, Plan, search

PLAN = Plan(learning_rate=1e-3, ranks=(2, 4, 8, 16), scales=(1, 2), seeds=2, most_seeds=3)
CURVE = {2: 3.0, 4: 2.0, 8: 1.999, 16: 1.999}


def metric(config: Configuration) -> float:
    return CURVE[config.r] + 0.01 * config.seed + 0.0001 * (config.r + config.seed) % 0.0003


def opened(storage: str | Path) -> Any:
    """What ``search`` takes: the file itself, or Optuna's journal in it."""
    if not str(storage).endswith(".journal"):
        return storage
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    return JournalStorage(JournalFileBackend(str(storage)))


def main(storage: str, log: str, seconds: float) -> None:
    def train(config: Configuration) -> float:
        with open(log, "a") as file:
            file.write(f"begin {config.name} {os.getpid()}\n")
        time.sleep(seconds)
        with open(log, "a") as file:
            file.write(f"end {config.name} {os.getpid()}\n")
        return metric(config)

    print(search(train, PLAN, storage=opened(storage), show=True, patience=2))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
