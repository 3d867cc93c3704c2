"""Inside a real Trainer: the sink shares the writer of TensorBoardCallback, whose own curves stay whole."""

from pathlib import Path
from typing import Any

import pytest

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.format import tags
from tests.sinks.backend import BY_EITHER_LOADER, tensorboard
from tests.support import build_trainer, few, stdlib_blocks

STEPS = 12


@pytest.fixture(scope="module", params=["TensorBoardCallback first", "TensorBoardCallback last"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run.

    The Trainer itself puts TensorBoardCallback first: its writer is there at the start and gone at the end. Added last
    it is not there at the start, and still there at the end.
    """
    from transformers.integrations import TensorBoardCallback

    folder = tmp_path_factory.mktemp("trainer")
    first = request.param.endswith("first")
    trainer = build_trainer(
        few(r=2),
        stdlib_blocks(8, 16),
        steps=STEPS,
        lr=1e-3,
        callbacks=[LoraWatchCallback(fail_on="error", console=False)],
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
    trainer.train()
    return folder


@BY_EITHER_LOADER
def test_the_trainers_curves_and_ours_are_whole_in_one_file(trained: Path, loader: str) -> None:
    assert len(list(trained.rglob("events.*"))) == 1
    with tensorboard(trained, loader) as board:
        (run,) = board.scalar_tags()
        every_step = list(range(1, STEPS + 1))
        for tag in ("train/loss", "train/learning_rate", "train/grad_norm"):
            assert [step for step, _ in board.scalars(tag, run)] == every_step, tag
        assert [step for step, _ in board.scalars("eval/loss", run)] == [4, 8, 12]
        assert [step for step, _ in board.scalars("train/train_runtime", run)] == [STEPS]

        delta = board.tensors(tags.METRIC_PREFIX + "delta_norm", run)
        assert [step for step, _ in delta if step] == every_step
        assert [step for step, _ in board.scalars("lora/loss", run)] == every_step
        assert [schema["version"] for _, schema in board.json(tags.SCHEMA, run)] == [1]
        assert [reported["verdict"] for _, reported in board.json(tags.VERDICT, run)] == ["running", "ok"]

        assert "args/text_summary" in board.get("plugin/text/tags")[run]
        (group,) = board.session_groups()
        assert group["hparams"]["r"] == 2
        assert group["sessions"][0]["status"] == "STATUS_SUCCESS"


def test_a_failure_reaches_the_trainers_own_file_before_that_is_closed(tmp_path: Path) -> None:
    watch = LoraWatchCallback(fail_on="error", console=False)
    settings: dict[str, Any] = {"lr": 3.0, "output_dir": str(tmp_path), "report_to": "tensorboard"}
    with pytest.raises(LoraWatchError):
        build_trainer(few(r=2), stdlib_blocks(8, 16), 4, [watch], **settings).train()
    (file,) = tmp_path.rglob("events.*")
    with tensorboard(file.parent, "python") as board:
        assert [reported["verdict"] for _, reported in board.json(tags.VERDICT)] == ["running", "failed"]
        assert board.session_groups()[0]["sessions"][0]["status"] == "STATUS_FAILURE"
