"""No Trainer: a plain torch loop under ``Monitor``, which ends the loop when the run is lost.

python examples/plain_loop.py
python examples/plain_loop.py --lr 3e-2 --alpha 128   # is lost: ends early, and says why
"""

from __future__ import annotations

import argparse

import torch
from peft import LoraConfig, get_peft_model

from lora_watch import LoraWatchError, Monitor
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.texts import blocks, stdlib_text

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--alpha", type=int, default=16)
parser.add_argument("--output_dir", help="for the report, the last good adapter and TensorBoard")
options = parser.parse_args()

torch.manual_seed(0)
base, tokenizer = tiny_llama()
lora = LoraConfig(r=8, lora_alpha=options.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
model = get_peft_model(base, lora).train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=options.lr)
schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=options.steps)
data = torch.tensor([block["input_ids"] for block in blocks(stdlib_text(), tokenizer, 4 * options.steps, 64)])

try:
    with Monitor(model, optimizer, fail_on="error", output_dir=options.output_dir, max_steps=options.steps) as monitor:
        for batch in data.split(4):
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            record = monitor.step(loss=loss)  # before the scheduler's step and zero_grad
            schedule.step()
            optimizer.zero_grad()
            if record.step % 10 == 0:
                change = record.metrics["delta_norm"].values.max()
                print(f"step {record.step}: loss {record.loss:.3f}, largest |dW| {change:.3f}")
except LoraWatchError as error:
    raise SystemExit(str(error)) from None  # its text is the alert; the exit code is 1
