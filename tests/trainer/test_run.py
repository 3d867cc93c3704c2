"""``lora-watch run``: scripts that know nothing of lora_watch, run as they are."""

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lora_watch.gate import judge
from tests.processes import Done, Python
from tests.support import report_of

ROOT = Path(__file__).resolve().parents[2]
GATE = ROOT / "examples" / "ci_gate.py"
EXPLODES = ("--lr", "0.03", "--alpha", "128", "--steps", "12")


def run(
    folder: Path, *arguments: str | Path, launcher: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    outside = {k: v for k, v in os.environ.items() if not k.startswith("LORA_WATCH_")}
    return subprocess.run(
        [sys.executable, "-m", *launcher, *(("-m",) if launcher else ()), "lora_watch", "run", *map(str, arguments)],
        cwd=folder,
        env=outside | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def forked(python: Python, folder: Path, *arguments: str | Path) -> Done:
    """The same as ``run``, without the seconds of its imports."""
    return python("-m", "lora_watch", "run", *arguments, folder=folder, TERM="dumb")


def script(folder: Path, text: str, name: str = "train.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


# -- as Python would -------------------------------------------------------------------------------------------------

PRINTS = """
    import json, sys
    from pathlib import Path
    heavy = {"torch", "transformers"} & set(sys.modules)
    main = sys.modules["__main__"]
    print(json.dumps([__name__, sys.argv, sys.path[0], str(Path(__file__).resolve()), main.__dict__ is globals(),
                      main.__file__ == __file__, sorted(heavy)]))
"""


@pytest.mark.parametrize("as_module", [pytest.param(False, marks=pytest.mark.thorough), True])
def test_the_script_finds_what_it_would_find_without_us(tmp_path: Path, as_module: bool) -> None:
    path = script(tmp_path, PRINTS, "prints.py")
    call = ("-m", "prints") if as_module else (path,)
    rest = ("--help", "-m", "x", "--", "--fail-on", "y")
    ours = run(tmp_path, *call, *rest)
    python = subprocess.run([sys.executable, *map(str, call), *rest], cwd=tmp_path, capture_output=True, text=True)
    seen, expected = json.loads(ours.stdout), json.loads(python.stdout)
    if as_module:  # an entry for the working directory in both
        seen[2], expected[2] = seen[2] or str(tmp_path), expected[2] or str(tmp_path)
    assert seen == expected
    assert ours.returncode == 2


@pytest.mark.parametrize("end", ["sys.exit(7)", "sys.exit('said')", "raise KeyError('theirs')", "f("])
def test_it_ends_as_it_would_end_without_us(tmp_path: Path, end: str) -> None:
    path = script(tmp_path, "import sys\n" + end)
    ours = run(tmp_path, path)
    python = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True)
    assert ours.returncode == python.returncode != 0
    assert ours.stderr == python.stderr


@pytest.mark.skipif(os.name == "nt", reason="the shell's 130 is of other systems")
def test_an_interrupt_is_an_interrupt(tmp_path: Path) -> None:
    path = script(tmp_path, "raise KeyboardInterrupt")
    command = [Path(sys.executable).parent / "lora-watch", "run", path]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == subprocess.run([sys.executable, path], capture_output=True).returncode
    assert "lora_watch" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere.py",), "script nowhere.py"),
        (("-m", "no_such_module"), "no_such_module"),
        (("--patience", "-1", GATE), "--patience"),
        (("--apply", GATE), "--apply .*--find-lr"),
        (("--fail-on", "eror", GATE), "--fail-on: 'eror' "),
        (("--mute", "LW1002", GATE), "--mute: .*'LW1002'.* LW102 "),
    ],
)
def test_misuse_is_one_clear_line(python: Python, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = forked(python, tmp_path, *arguments)
    assert done.returncode == 2
    assert re.search(says, done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("word", ["--fail-on=warning", "--fail-lately"])
def test_an_option_of_ours_that_the_script_refuses_is_said_to_come_before_it(
    python: Python, tmp_path: Path, word: str
) -> None:
    done = forked(python, tmp_path, script(tmp_path, "import argparse; argparse.ArgumentParser().parse_args()"), word)
    assert (done.returncode, "put it before" in done.stderr) == (2, word == "--fail-on=warning")


PLAIN_LOOP = """
    import torch
    from lora_watch import Monitor
    from tests.support import lora, tiny_model, updates

    model = lora(tiny_model(), r=2)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    ids = torch.arange(8)[None]
    with Monitor(model, optimizer) as monitor:
        updates(monitor, optimizer, [model(input_ids=ids, labels=ids).loss])
"""


@pytest.mark.parametrize(
    ("text", "code"),
    [("import lora_watch; lora_watch.Monitor; print('nothing trained')", 2), (PLAIN_LOOP, 0)],
    ids=["nothing", "plain loop"],
)
def test_nothing_monitored_is_no_success(python: Python, tmp_path: Path, text: str, code: int) -> None:
    done = forked(python, tmp_path, script(tmp_path, text))
    assert done.returncode == code, done.stderr
    assert ("was monitored" in done.stderr) == ("nothing trained" in done.stdout)


# -- monitored ---------------------------------------------------------------------------------------------------------


SWALLOWS = """
    import runpy, sys
    try:
        runpy.run_path(sys.argv[1], run_name="__main__")
    except Exception as error:
        print("swallowed:", type(error).__name__)
    sys.exit(0)
"""


@pytest.mark.parametrize("swallows", [False, True])
def test_the_alert_is_the_last_thing_printed_also_of_a_script_that_catches_everything(
    python: Python, tmp_path: Path, swallows: bool
) -> None:
    path = script(tmp_path, SWALLOWS.replace("sys.argv[1]", repr(str(GATE)))) if swallows else GATE
    done = forked(python, tmp_path, path, *EXPLODES)
    assert done.returncode == 1
    assert ("swallowed: LoraWatchError" in done.stdout) == swallows
    where, alert, advice, *_ = done.stderr.rpartition("lora-watch: ")[2].splitlines()
    assert f"in {Path('out') / 'lora_watch'}{', and the script' if swallows else ':'}" in where
    assert re.fullmatch(r"ERROR at step \d: .* \(LW102\)", alert)
    assert advice.startswith("  Next run: ")
    assert "Traceback" not in done.stderr
    assert report_of(tmp_path / "out")["verdict"] == "failed"


BROKEN = """
    import sys, torch
    from transformers import TrainerCallback
    from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

    class Breaks(TrainerCallback):
        error = None
        def on_step_end(self, args, state, control, **_):
            error, Breaks.error = Breaks.error, None
            if state.global_step == 1 and error == "stop":
                control.should_training_stop = True
            elif error is not None:
                raise error

    def train(error=None, folder="out", trainer=None, **settings):
        Breaks.error = error
        model, data = lora(tiny_model(), targets=["q_proj"]), stdlib_blocks(16, 16)
        trainer = trainer or build_trainer(model, data, 3, [Breaks()], output_dir=folder, **settings)
        try:
            trainer.train()
        except (Exception, KeyboardInterrupt) as caught:
            print("caught", type(caught).__name__)
        return trainer

    def loop(error=None):
        try:
            with lora_watch.Monitor(lora(tiny_model(), targets=["q_proj"])) as monitor:
                monitor.step(loss=1.0)
                if error is not None:
                    raise error
        except RuntimeError:
            pass
"""
OOM = "torch.OutOfMemoryError('CUDA out of memory.')"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"train({OOM})", 2),
        ("train(SystemExit(0))", 2),
        (f"train({OOM}); train(folder='other')", 2),
        (f"train(); train({OOM})", 2),
        ("import lora_watch; loop(RuntimeError())", 2),
        ("import lora_watch; loop()", 0),
        ("train('stop')", 0),
        (f"train(trainer=train({OOM}))", 0),
        (f"train({OOM}); train()", 0),
        (f"train({OOM}, auto_find_batch_size=True, per_device_train_batch_size=2)", 0),
    ],
)
def test_a_training_that_broke_off_is_no_success_unless_it_was_repeated(
    python: Python, tmp_path: Path, text: str, code: int
) -> None:
    done = forked(python, tmp_path, script(tmp_path, textwrap.dedent(BROKEN) + text))
    assert done.returncode == code, done.stderr
    assert ("1 run " in done.stderr) == (code == 2)
    if (tmp_path / "out" / "lora_watch" / "report.json").exists():
        assert (report_of(tmp_path / "out")["verdict"] == "interrupted") == (code == 2)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os.kill(os.getpid(), 9)", 2),
        ("trainer.train(resume_from_checkpoint=True)", 2),
        ("trainer.evaluate(data)", 0),
        ("trainer.save_model('out/final')", 0),
        ("trainer.train()", 0),
    ],
)
def test_a_start_that_dies_before_step_1_is_not_covered_by_the_report_of_the_one_before(
    python: Python, tmp_path: Path, end: str, code: int
) -> None:
    again = "import os; train(); model, data = lora(tiny_model()), stdlib_blocks(16, 16)\n"
    again += f"trainer = build_trainer(model, data, 3, [], output_dir='out'); {end}"
    done = forked(python, tmp_path, script(tmp_path, textwrap.dedent(BROKEN) + again))
    assert (done.returncode == 0) == (code == 0), done.stderr
    assert judge([tmp_path / "out"]).exit_code == code


def test_options_reach_the_callback_and_the_run_goes_on(python: Python, tmp_path: Path) -> None:
    options = ("--fail-on", "never", "--mute", "LW104", "--report-dir", tmp_path / "r")
    done = forked(python, tmp_path, *options, GATE, *EXPLODES)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert "LW102" in {alert["rule"] for alert in report["alerts"]}
    assert "LW104" not in {rule["id"] for rule in report["rules"]}
    assert (tmp_path / "r" / "report.html").is_file()


def test_its_own_flag_is_what_would_fail_on_a_warning(python: Python, tmp_path: Path) -> None:
    said = " ".join(forked(python, tmp_path, GATE, "--lr", "1e-5", "--steps", "12").stderr.split())
    assert "lora-watch run --fail-on error,LW104=warning" in said


EVERY_TRAINER = """
    from transformers import TrainerCallback
    import lora_watch
    from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

    own = lora_watch.LoraWatchCallback(console=False, every=2)
    for name, callbacks in (("a", []), ("b", []), ("own", [own])):
        model = lora(tiny_model(), targets=["q_proj"])
        trainer = build_trainer(model, stdlib_blocks(8, 16), 2, callbacks=callbacks, output_dir=name)
        trainer.train()
        watching = [c for c in trainer.callback_handler.callbacks if isinstance(c, lora_watch.LoraWatchCallback)]
        assert len(watching) == 1, watching
        assert own in watching or name != "own"
        trainer.train()
        assert len([c for c in trainer.callback_handler.callbacks if c in watching]) == 1
    assert own.policy.default == lora_watch.Severity.ERROR
"""


def test_every_trainer_is_monitored_once(python: Python, tmp_path: Path) -> None:
    done = forked(python, tmp_path, script(tmp_path, EVERY_TRAINER))
    assert done.returncode == 0, done.stderr
    for name in ("a", "b", "own"):
        report = report_of(tmp_path / name)
        assert (report["verdict"], report["session"]) == ("ok", 2)


def free_port() -> int:
    """A port to name: older versions of accelerate wait for ever where they are given 0."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def failed_on_two_ranks(folder: Path) -> bool:
    report = report_of(folder / "out")
    return (report["verdict"], report["session"], report["config"]["world_size"]) == ("failed", 1, 2)


def test_two_ranks(python: Python, tmp_path: Path) -> None:
    ranks = python.ranks(2, "-m", "lora_watch", "run", GATE, *EXPLODES, folder=tmp_path)
    assert 1 in {done.returncode for done in ranks} <= {1, -15}, "the one that ends later may be ended by the launcher"
    assert "(LW102)" in "".join(done.stderr for done in ranks)
    assert failed_on_two_ranks(tmp_path)


@pytest.mark.thorough  # processes of their own import for seconds each
@pytest.mark.parametrize(
    "launcher",
    [("torch.distributed.run", "--standalone", "--nproc_per_node=2"),
     # Its way for several GPUs; on CPUs alone it would want MPI. The script then asks for a CPU.
     ("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--mixed_precision=no", "--num_machines=1",
      "--dynamo_backend=no", f"--main_process_port={free_port()}")],
    ids=["torchrun", "accelerate launch"],
)  # fmt: skip
def test_launchers(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    done = run(tmp_path, GATE, *EXPLODES, launcher=launcher)
    assert done.returncode == 1
    assert "(LW102)" in done.stderr
    assert failed_on_two_ranks(tmp_path)


def test_it_finds_the_learning_rate_and_trains_nothing(python: Python, tmp_path: Path) -> None:
    done = forked(python, tmp_path, "--find-lr", "--report-dir", "own", GATE, "--output-dir", "out", "--steps", "3")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "own" / "find_lr.json").read_text())
    assert done.stdout.startswith(f"Learning rate {content['rate']:g}")
    assert content["rate"] < content["edge"] / 2
    assert not [*tmp_path.glob("**/lora_watch"), *tmp_path.glob("**/report.json")]
