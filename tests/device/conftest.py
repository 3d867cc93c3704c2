"""The device's tests are for a process of their own: whoever has registered a device has it to the end."""

from pathlib import Path

from tests.device import strict
from tests.support import DEVICE

RUNS = "test_runs.py"  # starts those processes

if DEVICE.type == strict.NAME:
    collect_ignore = [RUNS]
else:
    collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != RUNS]
