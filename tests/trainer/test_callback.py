"""The callback in a real Trainer: it does no harm, it stops what it should, and it leaves the files it promises."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback

from lora_watch import LoraWatchCallback, LoraWatchError
from tests.support import build_trainer, few, lora, on, report_of, stdlib_blocks, tiny_model


def adapters_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


# -- no harm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="plain"),
        pytest.param({"gradient_accumulation_steps": 4}, id="accumulation"),
        pytest.param({"bf16": True}, id="bf16"),
        pytest.param({"gradient_checkpointing": True}, id="checkpointing"),
        pytest.param(
            {"neftune_noise_alpha": 5.0, "eval_strategy": "steps", "eval_steps": 2}, id="noise-and-evaluation"
        ),
    ],
)
def test_training_is_bit_for_bit_the_same_with_the_callback(arguments: dict[str, Any]) -> None:
    data = stdlib_blocks(64, 16)  # short ones: a CPU takes long for bf16

    def run(callbacks: list[TrainerCallback]) -> tuple[dict[str, torch.Tensor], list[Any], torch.Tensor]:
        model = lora(tiny_model(), lora_dropout=0.1)
        if arguments.get("gradient_checkpointing"):
            model.enable_input_require_grads()
        trainer = build_trainer(
            model, data, 6, callbacks=callbacks, eval_dataset=data[:16], logging_steps=1, **arguments
        )
        trainer.train()
        losses = [(e.get("loss"), e.get("grad_norm"), e.get("eval_loss")) for e in trainer.state.log_history]
        return adapters_of(trainer), losses, torch.get_rng_state()

    torch.manual_seed(0)
    plain, plain_losses, plain_rng = run([])
    torch.manual_seed(0)
    callback = LoraWatchCallback(fail_on="never", console=False)
    monitored, monitored_losses, monitored_rng = run([callback])

    assert callback.monitor.last.step == 6, "the run must have been watched, or the test says nothing"
    assert plain_losses == monitored_losses
    assert torch.equal(plain_rng, monitored_rng)
    assert plain.keys() == monitored.keys()
    for name, tensor in plain.items():
        assert torch.equal(tensor, monitored[name]), name


# -- fail fast ---------------------------------------------------------------------------------------------------------

EXPLODED = {"lr": 5e-2}
"""With alpha 128 at r 8 this run is lost within a few steps: 6.3 → 5.6 and stuck."""


def test_an_error_stops_saves_and_raises() -> None:
    callback = LoraWatchCallback(fail_on="error", console=False)
    trainer = build_trainer(
        few(alpha=128), None, 40, callbacks=[callback], save_strategy="steps", save_steps=100, **EXPLODED
    )
    with pytest.raises(LoraWatchError, match=r"\(LW102\)") as caught:
        trainer.train()
    stopped = trainer.state.global_step
    assert stopped < 12
    (first, *_) = caught.value.alerts
    assert (first.rule, caught.value.message) == ("LW102", first.brief), "the rest stands on the console"
    assert first.brief.split("\n") == [first.title, f"  Next run: {first.next_run}"]
    report = report_of(trainer)
    assert (report["verdict"], report["step"]) == ("failed", stopped)
    assert "LW102" in report["message"]
    assert (Path(trainer.args.output_dir) / f"checkpoint-{stopped}" / "trainer_state.json").exists()
    logged = [e["step"] for e in trainer.state.log_history if "loss" in e]
    assert logged[-1:] == [stopped], "the step that failed is in the Trainer's own log"


def test_a_warning_before_the_first_step_ends_the_run_before_it() -> None:
    callback = LoraWatchCallback(fail_on="warning", console=False)
    trainer = build_trainer(few(alpha=128), None, 40, callbacks=[callback], **EXPLODED)
    before = adapters_of(trainer)
    with pytest.raises(LoraWatchError, match=r"\(LW401\)"):
        trainer.train()
    assert trainer.state.global_step == 0
    assert all(torch.equal(t, before[n]) for n, t in adapters_of(trainer).items())


@pytest.mark.parametrize("spoils", ["a gradient", "a weight"])
def test_what_spoils_the_weights_reaches_no_good_checkpoint(spoils: str) -> None:
    """Which would make room for the next one. A gradient does not reach the weights either."""
    from peft import PeftModel

    def spoil(state: Any, model: Any, **_: Any) -> None:
        weight = model.get_submodule("base_model.model.model.layers.2.mlp.down_proj").lora_B.default.weight
        if state.global_step == 4 + (spoils == "a weight"):
            (weight if spoils == "a weight" else weight.grad).data[0, 0] = torch.nan

    event = "step_end" if spoils == "a weight" else "pre_optimizer_step"  # after clipping, as in a backward pass
    callbacks = [on(event, spoil), LoraWatchCallback(fail_on="error", console=False)]
    saves = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}
    trainer = build_trainer(few(), None, 20, callbacks=callbacks, **saves)
    with pytest.raises(LoraWatchError, match=r"\(LW101\)") as caught:
        trainer.train()
    assert caught.value.alerts[0].adapters[0][0] == "model.layers.2.mlp.down_proj"
    assert caught.value.alerts[0].step == 5
    folder = Path(trainer.args.output_dir)
    assert sorted(p.name for p in folder.glob("checkpoint-*")) == ["checkpoint-4"]
    if spoils == "a weight":
        return
    for saved in (folder / "checkpoint-4", folder / "lora_watch" / "last_good"):
        restored = PeftModel.from_pretrained(tiny_model(), saved)
        assert all(torch.isfinite(p).all() for p in restored.parameters())
    # last_good is the model as it was when the fault came: nothing was lost.
    kept = {n: p for n, p in restored.named_parameters() if "lora_" in n}
    assert all(torch.equal(p, kept[n]) for n, p in adapters_of(trainer).items())


def test_two_callbacks_on_one_trainer_do_not_write_into_one_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def second(**arguments: Any) -> LoraWatchCallback:
        callbacks = [LoraWatchCallback(console=False), LoraWatchCallback(console=False, **arguments)]
        trainer = build_trainer(few(), stdlib_blocks(8, 32), 2, callbacks, output_dir=str(tmp_path))
        trainer.train()
        assert callbacks[0].monitor is not None
        assert callbacks[0].monitor.steps == 2
        return callbacks[1]

    assert second().monitor is None
    assert "another callback of lora_watch on this Trainer writes into" in caplog.text
    assert second(report_dir=tmp_path / "second", tensorboard=False).monitor is not None
