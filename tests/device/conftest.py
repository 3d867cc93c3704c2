"""Which tests are for a process on the device, and which start one."""

from tests.device import strict
from tests.support import DEVICE

collect_ignore = ["test_runs.py" if DEVICE.type == strict.NAME else "test_strict.py"]
