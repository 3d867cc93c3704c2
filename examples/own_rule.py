"""A rule of one's own in ten lines: a team's limit on how far fine-tuning may change any layer of the base model.

    python examples/own_rule.py --limit 0.02

docs/own-rules.md says what else a rule can do.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments, set_seed

from lora_watch import Finding, LoraWatchCallback, Rule, Severity, StepRecord
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.texts import blocks, stdlib_text
from lora_watch.rules.base import worst_first

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--output-dir", default="own_rule")
parser.add_argument("--steps", type=int, default=30)
parser.add_argument("--limit", type=float, default=0.02, help="largest allowed |dW|/|W0| of any layer")
options = parser.parse_args()


@dataclass
class TooFarFromBase(Rule):
    """Some layer has changed by more than we allow."""

    id, name, severity = "TEAM1", "too-far-from-base", Severity.WARNING
    needs = "relative_norm"
    limit: float = 0.1

    def check(self, record: StepRecord) -> Finding | None:
        change = record.metrics["relative_norm"].values
        if not (change > self.limit).any():
            return None
        message = f"{(change > self.limit).sum()} layers have changed by more than {self.limit:g} of their weight"
        worst = worst_first(record, change, change > self.limit)
        return Finding(message, adapters=worst, metric="relative_norm", threshold=self.limit)


set_seed(0)
base, tokenizer = tiny_llama()
watcher = LoraWatchCallback(rules=[TooFarFromBase(options.limit)])
trainer = Trainer(
    model=get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")),
    args=TrainingArguments(
        output_dir=options.output_dir,
        max_steps=options.steps,
        learning_rate=2e-3,
        per_device_train_batch_size=4,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    ),
    train_dataset=blocks(stdlib_text(), tokenizer, 256, 64),
    callbacks=[watcher],
)
trainer.train()
print(f"alerts: {[(alert.rule, alert.step) for alert in watcher.monitor.alerts]}")
