"""Ways that the Trainer itself spreads a model: DeepSpeed's, and FSDP2 by accelerate."""

import contextlib
import unittest.mock
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from transformers import Trainer, TrainerCallback

from lora_watch import LoraWatchCallback
from tests.sharding.ways import STEPS, seen_by
from tests.stored.saving import UP, Damages, lose_a_layer
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


def settings(way: str) -> dict[str, Any]:
    """What the Trainer is told."""
    if way.startswith("fsdp2"):
        wrapped = {"version": 2, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}
        return {"fsdp": True, "fsdp_config": wrapped}
    config = {
        "zero_optimization": {"stage": int(way[-1])},
        "zero_allow_untested_optimizer": True,
        "train_micro_batch_size_per_gpu": "auto",
        "train_batch_size": "auto",
        "gradient_accumulation_steps": "auto",
    }
    return {"deepspeed": config}


@contextlib.contextmanager
def fresh(way: str) -> Iterator[None]:
    """Nothing is left of the Trainer before. Of FSDP on a CPU accelerate wants to hear nothing: it is told here."""
    AcceleratorState._reset_state(True)
    if way.startswith("zero"):
        from transformers.integrations import deepspeed

        deepspeed.unset_hf_deepspeed_config()
    make = AcceleratorState.__init__

    def as_on_an_accelerator(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        make(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP  # which the next look-up takes over

    with unittest.mock.patch.object(AcceleratorState, "__init__", as_on_an_accelerator):
        yield


def a_trainer(
    way: str,
    folder: Path,
    steps: int,
    callbacks: Sequence[Any],
    trainer_class: type[Trainer] = Trainer,
    targets: Any = "all-linear",
    **more: Any,
) -> Trainer:
    return build_trainer(
        lora(tiny_model(), targets=targets),
        stdlib_blocks(4 * 2 * STEPS, 32),
        steps,
        callbacks=callbacks,
        trainer_class=trainer_class,
        output_dir=str(folder),
        ddp_backend="gloo",
        logging_steps=1,
        **settings(way),
        **more,
    )


class Drops(TrainerCallback):
    """Puts one layer of a first start in place of what a resume has loaded."""

    def on_train_begin(self, *_: Any, model: Any = None, **__: Any) -> None:
        (b,) = (p for name, p in model.named_parameters() if "layers.1.mlp.up_proj.lora_B" in name)
        with torch.no_grad(), whole("zero3" if hasattr(b, "ds_id") else "", model, modifier_rank=0):
            b.zero_()


def saved(way: str, folder: Path) -> dict[str, Any]:
    """Of two checkpoints, the best of which is loaded and saved at the end: which alerts there are, and which where the
    second session drops a layer, or a layer is another one in the first checkpoint and not in the second. The steps
    that are saved are not measured by themselves."""
    alerts = {}
    sessions: dict[str, tuple[str, list[Any]]] = {
        "healthy": ("healthy", []),
        "resumed": ("healthy", []),
        "dropped": ("healthy", [Drops()]),
        "damaged": (
            "damaged",
            [Damages(lambda content: content[f"{UP}B.weight"].mul_(3), 2), Damages(lose_a_layer, 4)],
        ),
    }
    for name, (place, callbacks) in sessions.items():
        callback = LoraWatchCallback(console=False, tensorboard=False, every=3)
        output, resumes = folder / f"{way}-{place}", name in ("resumed", "dropped")
        best = {"load_best_model_at_end": True, "metric_for_best_model": "steps", "eval_strategy": "steps"}
        with fresh(way):
            trainer = a_trainer(
                *(way, output, 5 if resumes else 4, [*callbacks, callback]),
                **{"save_strategy": "steps", "save_steps": 2, "eval_steps": 2, **best},
                eval_dataset=stdlib_blocks(4, 32),
                targets=["q_proj", "up_proj"],
            )
            trainer.evaluate = lambda *_, **__: {"eval_steps": -trainer.state.global_step}  # noqa: B023
            trainer.train(resume_from_checkpoint=str(output / "checkpoint-4") if resumes else None)
            trainer.save_model()
        files = sorted(str(file.parent.relative_to(output)) for file in output.rglob("adapter_model.safetensors"))
        found = [[alert.rule, *(layer for layer, _ in alert.adapters)] for alert in callback.monitor.alerts]
        alerts[name] = {"alerts": found, "files": files}
    return alerts


def whole(way: str, model: Any, **options: Any) -> contextlib.AbstractContextManager[Any]:
    """Inside, what is trained of ``model`` is whole, or a DTensor."""
    if way != "zero3":
        return contextlib.nullcontext()
    import deepspeed  # pyright: ignore[reportMissingImports]

    return deepspeed.zero.GatheredParameters([p for p in model.parameters() if p.requires_grad], **options)


def trained(way: str, folder: Path, monitored: bool) -> dict[str, Any]:
    torch.manual_seed(0)
    callback = LoraWatchCallback(console=False, tensorboard=False, fail_on="error")
    with fresh(way):
        trainer = a_trainer(way, folder / way, STEPS, [callback] if monitored else [])
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    with whole(way, trainer.model):
        seen = seen_by(callback.monitor, trainer.model) if monitored else {}
    if monitored and way.startswith("zero"):
        import deepspeed  # pyright: ignore[reportMissingImports]

        seen["versions"] = {**(seen["versions"] or {}), "deepspeed": deepspeed.__version__}
    return {"losses": losses, **seen}
