"""A fine-tune of half a minute for a CI job to gate on. It knows nothing of lora_watch but its packaged model.

lora-watch run examples/ci_gate.py --output-dir out
"""

from __future__ import annotations

import argparse

from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments

from lora_watch.demo.models import tiny_llama
from lora_watch.demo.texts import blocks, stdlib_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", default="out")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    model, tokenizer = tiny_llama()
    lora = LoraConfig(r=8, lora_alpha=args.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = Trainer(
        model=get_peft_model(model, lora),
        args=TrainingArguments(
            output_dir=args.output_dir,
            max_steps=args.steps,
            learning_rate=args.lr,
            per_device_train_batch_size=4,
            report_to="tensorboard",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            seed=0,
        ),
        train_dataset=blocks(stdlib_text(), tokenizer, 256, 64),  # type: ignore[arg-type]
    )
    trainer.train()


if __name__ == "__main__":
    main()
