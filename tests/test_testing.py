"""``stays_healthy`` in tests as a project would write them, run by a real pytest."""

from typing import Any

import pytest

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.testing import stays_healthy
from tests.support import build_trainer, few, lora, tiny_model, train

EXPLODED: dict[str, Any] = {"lr": 5e-2, "steps": 12}


def test_a_healthy_training_passes_and_leaves_nothing_behind() -> None:
    from transformers import trainer as module

    before = list(module.DEFAULT_CALLBACKS)
    with stays_healthy():
        trained = train(few(), steps=4)
    assert before == module.DEFAULT_CALLBACKS
    assert trained.state.global_step == 4
    assert not any(isinstance(c, LoraWatchCallback) for c in build_trainer(few()).callback_handler.callbacks)


def test_a_failing_one_fails_with_the_alert() -> None:
    with pytest.raises(AssertionError, match=r"ERROR at step \d: .*\(LW102\)") as caught, stays_healthy():
        train(few(alpha=128), **EXPLODED)
    assert "Next run: lora_alpha 128 →" in str(caught.value)
    assert "Cause: " in str(caught.value)


def test_a_trainer_built_before() -> None:
    trainer = build_trainer(few(alpha=128), **EXPLODED)
    with pytest.raises(AssertionError, match="LW102"), stays_healthy(trainer):
        trainer.train()


def test_the_severity_is_a_choice() -> None:
    """A scale of 64 is a warning before the first step (LW401). What one step does to the model is LW102's."""

    def run() -> None:
        train(lora(tiny_model(), alpha=512), steps=1, lr=5e-3)

    with pytest.raises(AssertionError, match=r"WARNING before step 1: .*\(LW401\)"), stays_healthy(fail_on="warning"):
        run()
    with stays_healthy(mute=["LW102", "LW104"]):
        run()
    with stays_healthy(fail_on="warning", mute=["LW102", "LW104", "LW401"]):
        run()


def test_a_stop_that_the_training_code_swallows_is_no_pass() -> None:
    def swallows() -> None:
        with pytest.raises(LoraWatchError):
            train(few(alpha=128), **EXPLODED)

    with pytest.raises(AssertionError, match="LW102"), stays_healthy():
        swallows()


def test_a_callback_of_its_own_that_never_stops_is_judged_by_its_alerts() -> None:
    own = LoraWatchCallback(fail_on="never", console=False, tensorboard=False)
    with pytest.raises(AssertionError, match="LW102"), stays_healthy():
        train(few(alpha=128), callbacks=[own], **EXPLODED)


def test_nothing_trained_is_no_pass_and_an_error_of_the_training_itself_is_left_as_it_is() -> None:
    with pytest.raises(AssertionError, match="was monitored"), stays_healthy():
        pass
    with pytest.raises(ZeroDivisionError), stays_healthy():
        raise ZeroDivisionError
