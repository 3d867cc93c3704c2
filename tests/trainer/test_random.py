"""Nothing of ours draws a random number: in a fresh process, where everything is imported for the first time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import contextlib, functools, hashlib, json, random, sys
import numpy as np, torch, peft, transformers
from transformers import Trainer, TrainerCallback
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

def state():
    numpy = np.random.get_state()
    return random.getstate(), numpy[1].tobytes(), numpy[2], torch.get_rng_state().tolist()

def differs(before):
    return [name for name, a, b in zip(("random", "numpy", "numpy", "torch"), before, state()) if a != b]

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
drew, entered, callbacks = {}, [], []
if sys.argv[1] == "monitored":
    before = state()
    from lora_watch import LoraWatchCallback
    callbacks = [LoraWatchCallback(fail_on="never")]
    drew["import"] = differs(before)

    def observed(name, method):
        @functools.wraps(method)
        def handler(*args, **kwargs):
            before = state()
            try:
                return method(*args, **kwargs)
            finally:
                entered.append(name)
                drew.setdefault(name, []).extend(differs(before))
        return handler

    for name in dir(TrainerCallback):
        if name.startswith("on_") and name in {n for base in type(callbacks[0]).__mro__[:-2] for n in vars(base)}:
            setattr(callbacks[0], name, observed(name, getattr(callbacks[0], name)))
trainer = build_trainer(model, Draws(), 12, callbacks=callbacks, lr=5e-2, output_dir=sys.argv[2],
                        save_strategy="steps", save_steps=5, logging_steps=2)
trainer.train()
digest = hashlib.sha256()
for name, p in model.named_parameters():
    digest.update(p.detach().numpy().tobytes())
print(json.dumps({"drew": {k: v for k, v in drew.items() if v}, "entered": sorted(set(entered)),
                  "end": [digest.hexdigest(), hashlib.sha256(repr(state()).encode()).hexdigest()]}))
"""


def trained(how: str, folder: Path) -> dict[str, Any]:
    path = folder / "train.py"
    path.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(path), how, str(folder / how)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    return out | {"stderr": done.stderr}


@pytest.mark.thorough
def test_a_pipeline_that_draws_from_every_generator_trains_the_same_weights(tmp_path: Path) -> None:
    monitored, plain = trained("monitored", tmp_path), trained("plain", tmp_path)
    assert monitored["drew"] == {}
    assert monitored["end"] == plain["end"]
    # Or the test says nothing: everything that could draw was there.
    assert {"on_train_begin", "on_pre_optimizer_step", "on_step_end", "on_log", "on_train_end"} <= set(
        monitored["entered"]
    )
    assert "(LW102)" in monitored["stderr"]
    left = {path.name for path in (tmp_path / "monitored" / "lora_watch").iterdir()}
    assert {"report.json", "last_good"} <= left
    assert list((tmp_path / "monitored" / "runs").rglob("events.out.tfevents.*"))
