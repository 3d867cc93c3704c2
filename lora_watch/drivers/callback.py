"""``LoraWatchCallback``: what a user adds to a Trainer, and the sweep that it may make first."""

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

    Raises:
        TypeError: for an argument that it does not have.
        ValueError: for a value that is not allowed, and for ``html=True`` without ``tensorboard``.
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
