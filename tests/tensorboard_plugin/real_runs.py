"""Real runs of the packaged model under the real Trainer, written where a dashboard finds them."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from transformers import set_seed
from transformers.integrations.integration_utils import TensorBoardCallback

from lora_watch import LoraWatchCallback
from tests.support import lora, stdlib_blocks, tiny_model, train

HEALTHY, EXPLODED, RECOVERED = "healthy r8 α16", "exploded r8 α64", "recovered r8 α64"


def train_into(
    folder: Path, steps: int, r: int, alpha: float, lr: float, seed: int = 0, batch: int = 4, recover: int = 0
) -> None:
    """``steps`` of ``batch`` blocks each, and an evaluation on 64 others at the end."""
    set_seed(seed)
    ours = LoraWatchCallback(fail_on="never", recover=recover, console=False, report_dir=folder / "lora_watch")
    texts = stdlib_blocks(max(64, batch * min(steps, 128)) + 64, 64)
    train(
        lora(tiny_model(), r=r, alpha=alpha),
        texts[64:],
        steps=steps,
        lr=lr,
        callbacks=[TensorBoardCallback(SummaryWriter(str(folder))), ours],
        per_device_train_batch_size=batch,
        logging_steps=1,
        warmup_steps=5,
        seed=seed,
        eval_dataset=texts[:64],
        eval_strategy="steps",
        eval_steps=steps,
    )


def train_pair(folder: Path, steps: int, batch: int = 4) -> None:
    """A healthy run and its exploding twin: four times the scale, ten times the learning rate."""
    train_into(folder / HEALTHY, steps, r=8, alpha=16, lr=2e-3, batch=batch)
    train_into(folder / EXPLODED, steps, r=8, alpha=64, lr=2e-2, batch=batch)
