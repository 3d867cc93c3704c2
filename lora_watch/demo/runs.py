"""One monitored run of a task with the real Trainer and the real PEFT, and what came of it."""

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from peft import LoraConfig, get_peft_model
from torch.utils.tensorboard import SummaryWriter
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.integrations.integration_utils import TensorBoardCallback

from lora_watch.base.alerts import LoraWatchError, Severity
from lora_watch.demo.tasks import Setup, Task, mean_loss
from lora_watch.drivers.callback import LoraWatchCallback
from lora_watch.runs.run import FinishedRun, latest_run


@dataclass(frozen=True)
class Outcome:
    setup: Setup
    before: float
    """Mean loss on held-out examples, in nats a token, before the first step."""
    after: float
    run: FinishedRun

    @property
    def stopped(self) -> bool:
        """``trainer.train()`` raised LoraWatchError."""
        return self.run.verdict == "failed"

    @property
    def is_good(self) -> bool:
        """It came to its end without a WARNING, and learned."""
        quiet = all(alert.severity <= Severity.INFO for alert in self.run.alerts)
        return quiet and not self.stopped and self.learned

    @property
    def learned(self) -> bool:
        """The held-out loss fell; False also where one of the two is NaN."""
        return self.after < self.before


def build_trainer(task: Task, setup: Setup, folder: Path, callbacks: Sequence[TrainerCallback] = ()) -> Trainer:
    """A Trainer whose checkpoints go to ``folder`` and whose TensorBoard events lie directly in it. The start is the
    same for every setup: the seed is set here."""
    set_seed(0)
    lora = LoraConfig(r=setup.r, lora_alpha=setup.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=task.steps,
        learning_rate=setup.lr,
        per_device_train_batch_size=task.batch,
        logging_steps=1,
        save_strategy="no",
        report_to="none",  # TensorBoard is added below, in a folder whose name can be read in the dashboard
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=get_peft_model(task.load(), lora),
        args=arguments,
        train_dataset=task.train,  # type: ignore[arg-type]
        callbacks=[TensorBoardCallback(SummaryWriter(str(folder))), *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def run(task: Task, setup: Setup, folder: Path) -> Outcome:
    """Train ``task`` under a LoraWatchCallback that ends a failing run, and score it before and after."""
    watcher = LoraWatchCallback(fail_on="error", console=False, html=True)
    trainer = build_trainer(task, setup, folder, [watcher])
    before = mean_loss(trainer.model, task.held_out)
    with suppress(LoraWatchError):
        trainer.train()
    return Outcome(setup, before, mean_loss(trainer.model, task.held_out), latest_run(folder))


def fixed(failing: Outcome) -> Setup | None:
    """The setup of the failing run with the settings that are prescribed for the next run; None where none are."""
    if failing.run.next_run is None:
        return None
    told = failing.run.next_run.values
    alpha, lr = told.get("lora_alpha", failing.setup.alpha), told.get("learning_rate", failing.setup.lr)
    return dataclasses.replace(failing.setup, name="fixed", alpha=round(alpha), lr=lr)
