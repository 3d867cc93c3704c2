"""Nothing of ours draws a random number: in a fresh process, where everything is imported for the first time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import hashlib, json, random, sys
import numpy as np, torch
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

def state():
    numpy = np.random.get_state()
    return random.getstate(), numpy[1].tobytes(), numpy[2], torch.get_rng_state().tolist()

class Draws(torch.utils.data.Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, i):
        ids = list(stdlib_blocks()[i]["input_ids"])
        ids[random.randrange(64)] = int(np.random.randint(1024))
        ids[int(torch.randint(64, ()))] = random.randrange(1024)
        return {"input_ids": ids, "labels": ids}

random.seed(0), np.random.seed(0), torch.manual_seed(0)
model = lora(tiny_model(), alpha=128, lora_dropout=0.1)
callbacks = []
if sys.argv[1] == "monitored":
    from lora_watch import LoraWatchCallback
    callbacks = [LoraWatchCallback(fail_on="never")]
trainer = build_trainer(model, Draws(), 12, callbacks=callbacks, lr=5e-2, output_dir=sys.argv[2],
                        save_strategy="steps", save_steps=5, logging_steps=2)
trainer.train()
digest = hashlib.sha256()
for name, p in model.named_parameters():
    digest.update(p.detach().numpy().tobytes())
print(json.dumps([digest.hexdigest(), hashlib.sha256(repr(state()).encode()).hexdigest()]))
"""


def trained(how: str, folder: Path) -> tuple[Any, str]:
    """Digests of the weights and of the generators at the end, and what was said."""
    path = folder / "train.py"
    path.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(path), how, str(folder / how)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.thorough
def test_a_pipeline_that_draws_from_every_generator_trains_the_same_weights(tmp_path: Path) -> None:
    (monitored, said), (plain, _) = trained("monitored", tmp_path), trained("plain", tmp_path)
    assert monitored == plain
    # Or the test says nothing: everything that could draw was there.
    assert "(LW102)" in said
    left = {path.name for path in (tmp_path / "monitored" / "lora_watch").iterdir()}
    assert {"report.json", "last_good"} <= left
    assert list((tmp_path / "monitored" / "runs").rglob("events.out.tfevents.*"))
