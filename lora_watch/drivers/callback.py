"""``LoraWatchCallback``: what a user adds to a Trainer, and the sweep that it may make first."""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainerState

from lora_watch.drivers.events import TrainerEvents


class LoraWatchCallback(TrainerEvents):
    """Monitors every LoRA adapter of a Trainer's run. Add it, and nothing else changes::

        trainer = Trainer(model, args, train_dataset=data, callbacks=[LoraWatchCallback()])
        trainer.train()

    Training stays the same, bit for bit. At every optimizer step it measures the norms of every adapter, the live scale
    and the true loss. It writes them to TensorBoard and to ``<output_dir>/lora_watch/``, and raises an alert when the
    run goes wrong.

    Args:
        fail_on: ``never``, ``warning`` or ``error``. An alert at least that severe stops the run, saves and logs.
            ``trainer.train()`` then raises LoraWatchError, and the process exits with 1. Rule by rule:
            ``{"default": "error", "LW202": "never"}``. Default: the environment variable ``LORA_WATCH_FAIL_ON``
            (``error,LW202=never``), else ``never``.
        recover: how many times the run restores its last good state and continues with the advised settings, instead
            of ending: see the page on recovering. The default of ``fail_on`` is then ``error``. Default:
            ``LORA_WATCH_RECOVER``, else 0.
        recover_memory: GiB of host memory that copies for ``recover`` may take.
        patience: optimizer steps for which the run tolerates an alert. A NaN, and a fact that cannot pass, ends it at
            once. Default: ``LORA_WATCH_PATIENCE``, else 0.
        every: optimizer steps between two measurements of the norms. The loss is checked at every step.
        full_every: measurements of the norms from one full measurement to the next, with spectrum and ``output_ratio``.
            Of the first 20 steps all are full, and so are the last step and the one after an odd loss or a new alert.
        drift: also measure ``drift_norm`` and ``step_norm``, six times as long as all other norms: see ``Monitor``.
        rules: rules with other thresholds (``NormExplosion(loss_factor=1.2)``) or of your own, besides the catalogue.
        mute: ids or names of rules to leave out. Default: ``LORA_WATCH_MUTE`` (``LW203,LW401``), else none.
        sinks: a ``lora_watch.Sink`` each, which get the records and alerts too.
        report_dir: folder of report.json and alerts.jsonl; default ``<output_dir>/lora_watch``.
        tensorboard: write TensorBoard events, into the Trainer's own run if it has one, else below
            ``<output_dir>/runs``.
        console: print alerts to standard error.
        find_lr: first find the learning rate in about 60 steps (``find_learning_rate``), restore everything and train
            at that rate or at the middle of its range. ``"only"``: print it and exit, with 0 if there is one.
            The answer is in ``found``.
        html: at the end write ``report.html`` next to report.json. It is the LoRA tab as one file, drawn from the
            TensorBoard events. Default: ``LORA_WATCH_HTML`` (``1``), else False.

    Raises:
        ValueError: for a ``fail_on``, ``patience``, ``mute``, ``every`` or ``full_every`` that is not valid, and for
            ``html=True`` without ``tensorboard``.
    """

    def sweep(self, state: TrainerState) -> dict[str, Any]:
        from lora_watch.tune.find_lr import at_the_start  # the monitor needs nothing of what comes before a run

        return at_the_start(self, state)


def watch(trainer: Trainer, **settings: Any) -> LoraWatchCallback:
    """Add a LoraWatchCallback to a Trainer that is already built, and return it. Takes the callback's arguments."""
    callback = LoraWatchCallback(**settings)
    callback.attach(trainer)
    trainer.add_callback(callback)
    return callback
