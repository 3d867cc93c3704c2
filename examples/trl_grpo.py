"""GRPO with a reward that is computed: short words, and no two answers alike. The reward is watched, not the loss.

pip install trl
python examples/trl_grpo.py
python examples/trl_grpo.py --lr 3e-5      # as for full fine-tuning: a WARNING, since the policy hardly moves
python examples/trl_grpo.py --lr 0.3       # the policy forgets its language: exit code 1, and the reason
"""

from __future__ import annotations

import argparse
import re

from datasets import Dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

from lora_watch import LoraWatchCallback
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.texts import python_manual

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--output-dir", default="grpo")
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--lr", type=float, default=5e-3)
options = parser.parse_args()

text = " ".join(" ".join(python_manual()).split())
prompts = [" ".join(sentence.split()[:4]) for sentence in text.split(". ") if len(sentence.split()) > 6]
known = set(re.findall(r"[a-z]+", text.lower()))


def short_words(completions: list[str], **columns: object) -> list[float]:
    """The share of five that an answer has of different short words of the manual. Equal answers share it."""
    found = [{word for word in answer.split() if word in known and 2 <= len(word) <= 4} for answer in completions]
    return [len(words) / 5 / completions.count(answer) for words, answer in zip(found, completions)]


model, tokenizer = tiny_llama()
watcher = LoraWatchCallback(fail_on="error")
trainer = GRPOTrainer(
    model=model,
    processing_class=tokenizer,
    reward_funcs=short_words,
    peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
    train_dataset=Dataset.from_dict({"prompt": prompts[:64]}),
    args=GRPOConfig(
        output_dir=options.output_dir,
        max_steps=options.steps,
        learning_rate=options.lr,
        per_device_train_batch_size=16,
        num_generations=4,
        max_completion_length=8,
        logging_steps=1,  # a row a step: with 10, the default, a collapse is seen ten steps later
        report_to="none",  # TensorBoard events are written all the same, below <output_dir>/runs
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    ),
    callbacks=[watcher],
)
trainer.train()

rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
first, last = (sum(some) / len(some) for some in (rewards[:5], rewards[-5:]))
alerts = [alert.rule for alert in watcher.monitor.alerts]
print(f"step {len(rewards)}: reward {first:.3f} -> {last:.3f}, alerts {alerts}")
