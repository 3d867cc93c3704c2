"""AdaLoRA gives out one budget of ranks over the layers. See which layers kept theirs, and that it happens at all.

    python examples/adalora.py

The Trainer does not know AdaLoRA: somebody must call ``update_and_allocate`` at each step, or every layer keeps its
first rank to the end and nothing says so. ``on_optimizer_step`` is the place, since gradients are still there.
"""

from __future__ import annotations

import argparse

from peft import AdaLoraConfig, get_peft_model
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from lora_watch import LoraWatchCallback, find_adapters
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.texts import blocks, stdlib_text

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--output-dir", default="adalora")
parser.add_argument("--steps", type=int, default=90)
parser.add_argument("--without-allocation", action="store_true", help="forget the call, as is easily done")
options = parser.parse_args()


class AllocateRanks(TrainerCallback):
    """Lets AdaLoRA weigh its directions and cut the least important ones."""

    def on_optimizer_step(self, args, state, control, model, **kwargs):
        model.base_model.update_and_allocate(state.global_step)


set_seed(0)
base, tokenizer = tiny_llama()
config = AdaLoraConfig(
    init_r=12,  # every layer starts with this many directions
    target_r=6,  # and this is what is left of them on average
    lora_alpha=24,
    tinit=options.steps // 6,  # steps before the first cut
    tfinal=options.steps // 3,  # steps after the last one
    deltaT=2,
    total_step=options.steps,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    task_type="CAUSAL_LM",
)
trainer = Trainer(
    model=get_peft_model(base, config),
    args=TrainingArguments(
        output_dir=options.output_dir,
        max_steps=options.steps,
        learning_rate=5e-3,
        per_device_train_batch_size=8,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    ),
    train_dataset=blocks(stdlib_text(), tokenizer, 256, 64),
    callbacks=[LoraWatchCallback(), *([] if options.without_allocation else [AllocateRanks()])],
)
trainer.train()

kept = {adapter.name: int((adapter.diagonal != 0).sum()) for adapter in find_adapters(trainer.model)}
print(f"{sum(kept.values())} directions of {12 * len(kept)} are left, most and fewest of them in:")
for name in sorted(kept, key=kept.__getitem__, reverse=True)[:3] + sorted(kept, key=kept.__getitem__)[:3]:
    print(f"  {kept[name]:2d}  {name}")
