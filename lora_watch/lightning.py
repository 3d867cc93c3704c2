"""Lightning: a callback for its Trainer. Optional: whoever imports this has ``lightning`` or ``pytorch_lightning``."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lora_watch.format.files import WaitingMark
from lora_watch.run.engine import Engine
from lora_watch.run.guard import Guard, event, guarded
from lora_watch.run.ranks import Ranks
from lora_watch.settings import LightningSettings, takes
from lora_watch.sinks import Sink
from lora_watch.sinks.standard import own_run, standard_sinks
from lora_watch.sinks.tensorboard import TensorBoardSink

if TYPE_CHECKING:
    Callback: Any = object
else:
    try:
        from lightning.pytorch import Callback
    except ModuleNotFoundError:
        from pytorch_lightning import Callback


_EVALUATING = (
    "output_ratio is unavailable: the model is in evaluation mode, as from_pretrained leaves it and Lightning keeps; "
    "call model.train() in the module"
)


class LoraWatch(Callback):
    """Monitors every LoRA adapter of a LightningModule's training. Add it, and nothing else changes::

        trainer = L.Trainer(max_steps=500, callbacks=[LoraWatch(fail_on="error")])
        trainer.fit(module, data)

    The loss is that of each optimizer step, as backward gets it, averaged over micro-batches and ranks. A run that its
    policy ends does so before a non-finite update, else after the step, and ``fit`` raises LoraWatchError. The rules'
    state travels in the checkpoints. The summary (``lora/…``) goes to the Trainer's loggers; a TensorBoardLogger's own
    run holds what the LoRA tab reads. With several optimizers the first is followed.
    """

    @takes(LightningSettings)
    def __init__(self, settings: LightningSettings):
        self.settings, self.policy = settings, settings.policy()
        self.monitor: Engine | None = None
        """That of the latest ``fit``: ``monitor.alerts``, ``monitor.last``."""
        self.guard = Guard()
        """The monitor's, where there is one. What is done inside a training is done in it: no exception comes out."""
        self._restored: dict[str, Any] = {}
        self._loss: float | Tensor | None = None
        self._step = 0
        self._mark = WaitingMark()

    # -- Lightning's events, in their order: out of them comes what ends the training, and nothing else ----------------
    @guarded("marking the report of an earlier run", aside=True)
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """A training may die before it begins, in its sanity check or while it loads its data."""
        if stage == "fit":
            folder = self._report_folder(_output(trainer))
            if trainer.is_global_zero:
                self._mark.leave(folder)

    @event
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.monitor = engine = None
        self.guard = Guard()
        self._loss, self._step = None, trainer.global_step
        with self.guard("starting"):
            engine = self._build(trainer, pl_module)
        # Ranks that wait for one that does not monitor hang.
        ranks = Ranks(pl_module.device, together=True)
        if ranks.any(engine is None) or engine is None:
            return
        engine.ranks = ranks
        self.monitor, self.guard = engine, engine.guard
        engine.start(self._step)
        with self.guard("taking a mark off a report", aside=True):
            self._mark.take_off()
        engine.raise_for()

    @event
    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        loss = loss.detach().clone()  # already divided by the number of micro-batches
        self._loss = loss if self._loss is None else self._loss + loss

    @event
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if self.monitor is None:
            return
        with self.guard("averaging the loss over ranks"):  # all come here, also one that has none
            own = self.monitor.recorder.instruments.own_loss
            self._loss = self.monitor.ranks.mean(self._loss, own.labels, own)
        self.monitor.raise_for(self.monitor.before_update(self._loss))

    @event
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.monitor is None or trainer.global_step == self._step:  # a micro-batch
            return
        self._step = trainer.global_step
        failures = self.monitor.after_update(self._loss, self._step)
        self._loss = None
        with self.guard("giving the loggers a summary", aside=True):
            if self._step % max(trainer.log_every_n_steps, 1) == 0:
                from lora_watch.drivers.trackers import summary_of

                summary = summary_of(self.monitor)
                for logger in trainer.loggers:
                    if summary and not _is_tensorboard(logger):  # that one's run has them from the sink
                        logger.log_metrics(summary, step=self._step)
        self.monitor.raise_for(failures)

    @event
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if self.monitor is not None and not trainer.sanity_checking:
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.monitor.evaluated(metrics, trainer.global_step)

    @event
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self.monitor is not None:
            self.monitor.end(trainer.global_step)

    @event
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if self.monitor is not None:
            self.monitor.finish_for(exception)

    @guarded("keeping the rules' state for a checkpoint, so that a resumed run starts them anew", dict, aside=True)
    def state_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.monitor.state_dict())) if self.monitor is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    # -- helpers -------------------------------------------------------------------------------------------------------
    def _build(self, trainer: Any, pl_module: Any) -> Engine:
        model = next((m for m in pl_module.modules() if isinstance(getattr(m, "peft_config", None), dict)), pl_module)
        planned = trainer.estimated_stepping_batches  # of the whole run, which may have no end
        folder, own = _output(trainer), self.settings
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        engine = Engine(
            model,
            next(iter(trainer.optimizers), None),
            own.of_a_run(
                sinks=self._sinks(trainer, model, folder) if trainer.is_global_zero else (),
                notes=(*own.notes, *(() if model.training else (_EVALUATING,))),
                max_steps=own.max_steps or (int(planned) if 0 < planned < math.inf else None),
            ),
            scheduler=next((config.scheduler for config in trainer.lr_scheduler_configs), None),
            place=self._report_folder(folder),
            is_scaled=lambda: scaler is not None,
        )
        restored, self._restored = self._restored, {}  # the next fit may be another run
        if restored:
            engine.load_state_dict(restored)
        return engine

    def _report_folder(self, output: Path) -> Path:
        return Path(self.settings.report_dir or output / "lora_watch")

    def _sinks(self, trainer: Any, model: Any, folder: Path) -> list[Sink]:
        events = None
        if self.settings.tensorboard:
            shared = next((logger for logger in trainer.loggers if _is_tensorboard(logger)), None)
            events = TensorBoardSink(lambda: shared.experiment) if shared else TensorBoardSink(own_run(folder))
        settings, report = self.settings, self._report_folder(folder)
        return [*standard_sinks(report, model, self.policy, events, settings.console), *settings.sinks]


def _output(trainer: Any) -> Path:
    """Where the run's files go. Asks every rank."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def _is_tensorboard(logger: Any) -> bool:
    return any(base.__name__ == "TensorBoardLogger" for base in type(logger).__mro__)
