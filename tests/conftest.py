"""The environment of every test: no network, no GPU, one thread. Set before torch or transformers is imported.

``TEST_DEVICE=cuda`` has the tests run on an accelerator that can (``benchmarks/gpu.py`` does it).
``strict`` is the test suite's own (``tests/device``).
"""

import gc
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.browser import browser as browser
from tests.processes import Python
from tests.shared import once

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # two threads on a busy core spin against each other: forty times slower here
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
if (device := os.environ.get("TEST_DEVICE", "cpu")) in ("cpu", "strict"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
for variable in ("LORA_WATCH_FAIL_ON", "LORA_WATCH_PATIENCE", "LORA_WATCH_MUTE", "WANDB_PROJECT"):
    os.environ.pop(variable, None)

if device == "strict":
    from tests.device import strict

    os.environ["ACCELERATE_TORCH_DEVICE"] = "strict:0"  # where a Trainer puts its model
    strict.load()

from hypothesis import HealthCheck, settings  # noqa: E402

# The suite draws the same examples every time: a change is judged by what it changed. `--hypothesis-profile=explore
# --timeout=0` looks where no one has looked yet, for some minutes a test.
ALL = list(HealthCheck)
settings.register_profile("suite", max_examples=200, derandomize=True, deadline=None, suppress_health_check=ALL)
settings.register_profile("explore", max_examples=20_000, print_blob=True, deadline=None, suppress_health_check=ALL)
settings.load_profile("suite")


FORKS = pytest.StashKey[Python]()


def pytest_collection_finish(session: pytest.Session) -> None:
    if any("python" in getattr(item, "fixturenames", ()) for item in session.items):
        session.config.stash[FORKS] = Python(*TRAINING)


@pytest.fixture(autouse=True, scope="module")
def _collects_no_imports() -> None:
    """Garbage collection, which each Trainer runs, passes by all that was imported so far: a fifth of a training."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _begins_from_a_seed() -> None:
    """Adapters are begun at random: without it what a test trains would hang on the tests before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


TRAINING = ("transformers.trainer", "transformers.models.llama.modeling_llama", "peft", "torch.utils.tensorboard")
TRAINING += ("lora_watch.cli.app", "lora_watch.drivers.callback", "lora_watch.tune.inspect")
TRAINING += ("lora_watch.tune.preflight", "lora_watch.tune.advise")


@pytest.fixture(scope="session")
def python(pytestconfig: pytest.Config) -> Iterator[Python]:
    """For scripts that train, as importing what they need takes seconds."""
    yield pytestconfig.stash[FORKS]
    pytestconfig.stash[FORKS].close()


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``output_dir`` of a run in which all is well."""
    from tests.runs.written import train_into

    return once(tmp_path_factory, "healthy", train_into)


@pytest.fixture(scope="session")
def exploded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``output_dir`` of a run that its policy has ended."""
    from tests.runs.written import LR, train_into

    return once(tmp_path_factory, "exploded", partial(train_into, lr=15 * LR, alpha=128, fail_on="error"))
