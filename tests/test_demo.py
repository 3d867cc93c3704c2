"""The demo: its texts, its models, its promises, and the whole of it on real input."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import remake_model
from benchmarks.corpus.models import MissingPackageError, package_folder
from lora_watch.base.prescription import Prescription, Setting
from lora_watch.demo import texts
from lora_watch.demo.runs import Outcome, fixed
from lora_watch.demo.show import _fresh
from lora_watch.demo.tasks import FAILING, Setup, mean_loss
from lora_watch.format import tags
from lora_watch.runs.run import latest_run
from tests.processes import Done, Python
from tests.runs.written import write_run
from tests.sinks.backend import tensorboard
from tests.support import report_of, stdlib_blocks, tiny_model, tiny_tokenizer


# -- texts -------------------------------------------------------------------------------------------------------------
def test_blocks_are_real_text_of_the_asked_length_and_the_same_at_every_call():
    documents = texts.stdlib_text()
    first = texts.blocks(documents, tiny_tokenizer(), n=5, length=32)
    assert [len(block["input_ids"]) for block in first] == [32] * 5
    assert first == texts.blocks(documents, tiny_tokenizer(), n=5, length=32)
    assert all(block["labels"] == block["input_ids"] for block in first)
    assert len({tuple(block["input_ids"]) for block in first}) == 5
    assert any(tiny_tokenizer().decode(first[0]["input_ids"]) in document for document in documents)


def test_what_is_held_out_is_not_trained_on():
    documents = texts.stdlib_text()
    train, held_out = texts.split(documents)
    assert sorted(train + held_out) == sorted(documents)
    assert not set(train) & set(held_out)
    assert len(held_out) == math.ceil(len(documents) / 10)


# -- models ------------------------------------------------------------------------------------------------------------
def test_the_packaged_model_knows_english_and_does_not_know_python():
    def loss(text: str) -> float:
        ids = tiny_tokenizer()(text)["input_ids"]
        return mean_loss(tiny_model(), [{"input_ids": ids, "labels": ids}])

    english = loss("She could not but be sensible of the kindness of her sister, and hoped to be happy in the country.")
    code = loss("def __init__(self, *args, **kwargs):\n    super().__init__(*args)\n    self._lock = threading.RLock()")
    guessing = math.log(1024)
    assert english < 0.5 * guessing
    assert code > 1.5 * english


def test_a_missing_package_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(MissingPackageError, match=r"'no_such_package'.* pip install --no-deps this==1$"):
        package_folder("no_such_package", "--no-deps this==1")


# -- scores ------------------------------------------------------------------------------------------------------------
def test_mean_loss_is_the_mean_over_all_predicted_tokens_and_leaves_the_mode_alone():
    model, blocks = tiny_model(), stdlib_blocks(11, 24)  # 11: the last batch is smaller
    model.train()
    ids = torch.tensor([block["input_ids"] for block in blocks])
    with torch.no_grad():
        logits = model(input_ids=ids).logits.double()
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, 1024), ids[:, 1:].reshape(-1))
    assert mean_loss(model, blocks) == pytest.approx(float(expected), rel=1e-5)
    assert model.training


# -- promises ----------------------------------------------------------------------------------------------------------
def test_the_fix_is_the_prescription(tmp_path: Path):
    def after(**told: Setting) -> Setup | None:
        run = replace(latest_run(write_run(tmp_path, verdict="failed")), next_run=Prescription(told) if told else None)
        return fixed(Outcome(FAILING, before=6.0, after=9.0, run=run))

    assert after(lora_alpha=Setting(64, 16.0)) == Setup("fixed", 16, 2e-2)
    assert after(learning_rate=Setting(2e-2, 1e-4)) == Setup("fixed", 64, 1e-4)
    assert after() is None


# -- folders -----------------------------------------------------------------------------------------------------------
def test_what_is_no_demo_is_left_alone(tmp_path: Path):
    thesis = tmp_path / "mine"
    thesis.mkdir()
    (thesis / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="--output-dir"):
        _fresh(thesis)
    assert (thesis / "thesis.txt").exists()


# -- remaking the model ------------------------------------------------------------------------------------------------
@pytest.mark.thorough
def test_the_model_can_be_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pages = texts.python_manual()
    (tmp_path / "a.txt").write_text("\n".join(pages[10:]))
    (tmp_path / "b.txt").write_text("\n".join(pages[:10]))
    threads = torch.get_num_threads()
    remake_model.main([str(tmp_path / "model"), "--texts", str(tmp_path), "--steps", "12"])
    torch.set_num_threads(threads)

    lines = [line for line in capsys.readouterr().out.splitlines() if "loss" in line]
    first, last = (float(line.split()[-1]) for line in lines)
    assert first == pytest.approx(math.log(1024), rel=0.03)
    assert last < first - 0.1
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    shipped = tiny_model()
    assert {k: v.shape for k, v in made.state_dict().items()} == {k: v.shape for k, v in shipped.state_dict().items()}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "A round trip: naïve, 1 + 1."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


# -- the whole ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def demo(python: Python, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("demo")
    earlier = folder / "tiny-healthy"  # of an earlier demo: it is replaced, not mixed with
    (earlier / "lora_watch").mkdir(parents=True)
    (earlier / "lora_watch" / "report.json").write_text("{}")
    (earlier / "events.out.tfevents.1").touch()
    return folder, python("-m", "lora_watch", "demo", "--quick", "--output-dir", folder, COLUMNS="120")


def test_the_demo(demo: tuple[Path, Done]):
    folder, done = demo
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"tensorboard --logdir {folder}" in done.stdout.replace("\n", "")
    reports = {}
    for name in ("healthy", "too-strong", "fixed"):
        assert len(list((folder / f"tiny-{name}").glob("events.out.tfevents.*"))) == 1
        reports[name] = report_of(folder / f"tiny-{name}")
    for name in ("healthy", "fixed"):
        assert reports[name]["verdict"] == "ok"
        assert not [alert for alert in reports[name]["alerts"] if alert["severity"] != "INFO"]
    assert reports["too-strong"]["verdict"] == "failed"
    assert reports["too-strong"]["step"] <= reports["too-strong"]["max_steps"] / 3
    assert "LW102" in {alert["rule"] for alert in reports["too-strong"]["alerts"]}
    assert "UTC · step 30 of 30" in done.stdout
    assert "(LW102)" in done.stdout
    assert "Next run: lora_alpha 64 →" in done.stdout
    assert "Traceback" not in done.stdout


def test_its_healthy_run_has_curves_without_holes(demo: tuple[Path, Done]):
    """What a reader of TensorBoard sees: each of 30 steps."""
    steps = list(range(1, 31))
    names = ("product_norm", "delta_norm", "a_norm", "b_norm", "relative_norm", "a_grad_norm", "b_grad_norm")
    with tensorboard(demo[0] / "tiny-healthy", "python") as board:
        for name in (*names, "scale", "effective_lr"):
            found = board.tensors(tags.METRIC_PREFIX + name)
            assert [step for step, _ in found if step] == steps, name
            assert all(np.isfinite(values).all() for step, values in found if step), name
        for tag in ("lora/delta_norm/max", "lora/scale", "lora/effective_lr", "lora/loss"):
            assert [step for step, _ in board.scalars(tag) if step] == steps, tag
