"""Writes docs/rules/samples.json: of every rule the first alert that its own tests raise, on their real runs.

python docs/samples.py                        all of tests/rules, tests/gate and tests/advice: some minutes
python docs/samples.py tests/gate             of these alone; the other samples stay as they are
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lora_watch.alerts import Alert

SAMPLES = Path(__file__).parent / "rules" / "samples.json"


class Recorder:
    """A pytest plugin that remembers every alert and the test in which it opened."""

    def __init__(self) -> None:
        self.seen: list[tuple[Alert, str]] = []
        self.test = ""
        opened = Alert.__post_init__

        def remember(alert: Alert) -> None:
            opened(alert)
            self.seen.append((alert, self.test))

        Alert.__post_init__ = remember

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.test = item.nodeid


def main(paths: list[str]) -> None:
    recorder = Recorder()
    pytest.main(["-q", "-p", "no:cacheprovider", *(paths or ["tests/rules", "tests/gate", "tests/advice"])], [recorder])
    samples = json.loads(SAMPLES.read_text(encoding="utf-8")) if SAMPLES.exists() else {}
    fresh: dict[str, dict[str, str]] = {}
    for alert, test in recorder.seen:
        if alert.rule.startswith("LW"):
            fresh.setdefault(alert.rule, {"alert": str(alert), "from": test})
    samples = dict(sorted((samples | fresh).items()))
    SAMPLES.parent.mkdir(exist_ok=True)
    SAMPLES.write_text(json.dumps(samples, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
