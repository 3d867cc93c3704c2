"""Inside a real Trainer: the sink shares the writer of TensorBoardCallback, whose own curves stay whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import TrainerCallback

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.format import tags
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.sinks.backend import BY_EITHER_LOADER, tensorboard
from tests.sinks.made_up import alert_of, record_of, run_of
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

STEPS = 12


class FeedsTheSink(TrainerCallback):
    """Made-up numbers at the moments at which the real callback has true ones."""

    def attach(self, trainer: Any) -> None:
        callbacks = trainer.callback_handler.callbacks
        self.sink = TensorBoardSink(lambda: next((c.tb_writer for c in callbacks if hasattr(c, "tb_writer")), None))

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.sink.start(run_of(), 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        alerts = [alert_of(state.global_step)] if state.global_step == 5 else []
        self.sink.write(record_of(run_of(), state.global_step), alerts)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.sink.finish("ok", None)


@pytest.fixture(scope="module", params=["TensorBoardCallback first", "TensorBoardCallback last"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run, and the status of its session as TensorBoard can know it.

    The Trainer itself puts TensorBoardCallback first: its writer is there at the start and gone at the end. Added last
    it is not there at the start, and still there at the end.
    """
    from transformers.integrations import TensorBoardCallback

    folder = tmp_path_factory.mktemp("trainer")
    feeder = FeedsTheSink()
    first = request.param.endswith("first")
    trainer = build_trainer(
        lora(tiny_model(), r=2),
        stdlib_blocks(8, 16),
        steps=STEPS,
        callbacks=[feeder],
        eval_dataset=stdlib_blocks(8, 16),
        output_dir=str(folder),
        report_to="tensorboard" if first else "none",
        per_device_train_batch_size=2,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=4,
    )
    if not first:
        trainer.add_callback(TensorBoardCallback())
    feeder.attach(trainer)
    trainer.train()
    return folder, "STATUS_UNKNOWN" if first else "STATUS_SUCCESS"


def test_there_is_one_event_file(trained: tuple[Path, str]) -> None:
    assert len(list(trained[0].rglob("events.*"))) == 1


@BY_EITHER_LOADER
def test_the_trainers_curves_and_ours_are_whole(trained: tuple[Path, str], loader: str) -> None:
    folder, status = trained
    with tensorboard(folder, loader) as board:
        (run,) = board.scalar_tags()
        every_step = list(range(1, STEPS + 1))
        for tag in ("train/loss", "train/learning_rate", "train/grad_norm"):
            assert [step for step, _ in board.scalars(tag, run)] == every_step, tag
        assert [step for step, _ in board.scalars("eval/loss", run)] == [4, 8, 12]
        assert [step for step, _ in board.scalars("train/train_runtime", run)] == [STEPS]

        delta = board.tensors(tags.METRIC_PREFIX + "delta_norm", run)
        assert [step for step, _ in delta] == every_step
        np.testing.assert_array_equal(delta[-1][1], [12, 13, 14])
        assert [step for step, _ in board.scalars("lora/loss", run)] == every_step
        assert [step for step, _ in board.json(tags.ALERTS, run)] == [5]
        assert [schema["version"] for _, schema in board.json(tags.SCHEMA, run)] == [1]

        assert "args/text_summary" in board.get("plugin/text/tags")[run]
        (group,) = board.session_groups()
        assert group["hparams"]["r"] == 8
        assert group["sessions"][0]["status"] == status


@pytest.mark.parametrize("ending", ["ok", "failed"])
def test_the_verdict_reaches_the_trainers_own_file_before_that_is_closed(tmp_path: Path, ending: str) -> None:
    settings: dict[str, Any] = {"lr": 1e-3} if ending == "ok" else {"lr": 3.0}
    trainer = build_trainer(
        lora(tiny_model(), r=2),
        stdlib_blocks(8, 16),
        steps=4,
        callbacks=[LoraWatchCallback(fail_on="error", console=False)],
        output_dir=str(tmp_path),
        report_to="tensorboard",
        **settings,
    )
    if ending == "ok":
        trainer.train()
    else:
        with pytest.raises(LoraWatchError):
            trainer.train()
    (file,) = tmp_path.rglob("events.*")
    with tensorboard(file.parent, "python") as board:
        assert [reported["verdict"] for _, reported in board.json(tags.VERDICT)] == ["running", ending]
        status = "STATUS_SUCCESS" if ending == "ok" else "STATUS_FAILURE"
        assert board.session_groups()[0]["sessions"][0]["status"] == status
