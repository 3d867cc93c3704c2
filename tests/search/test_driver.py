"""The search on a real Optuna storage: killed, shared, failed, resumed; no run is lost and none is done twice."""

from __future__ import annotations

import collections
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from lora_watch import Alert, LoraWatchError, Severity
from lora_watch.search import Attempt, Configuration, Outcome, Plan, SearchResult, search
from lora_watch.search.deciding import decide
from tests.search.workers import PLAN, metric, opened

ROOT = Path(__file__).parent.parent.parent
ALERT = Alert("LW102", "norm-explosion", Severity.ERROR, 3, "The adapters have exploded.")


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def expected() -> dict[Configuration, Outcome]:
    """What one process does that nothing disturbs."""
    known: dict[Configuration, Outcome] = {}
    while wanted := decide(PLAN, known).wanted:
        known[wanted[0]] = Outcome(metric(wanted[0]))
    return known


def worker(storage: Path | str, log: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.search.workers", str(storage), str(log), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(log: Path, word: str = "end") -> collections.Counter[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return collections.Counter(line.split()[1] for line in lines if line.startswith(word))


def wait_for(condition: Any, seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.01)


def study_of(storage: Path) -> optuna.Study:
    where: Any = opened(storage)
    return optuna.load_study(study_name="lora_watch", storage=where if where != storage else f"sqlite:///{storage}")


def completed(storage: Path) -> list[str]:
    """The names of the runs that the study holds as done, in their order."""
    done = [t for t in study_of(storage).trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert all(t.params["r"] == t.user_attrs["configuration"]["r"] for t in done)
    return [t.user_attrs["configuration"]["name"] for t in done]


# -- interrupted, shared -----------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    storage, log = tmp_path / "a.db", tmp_path / "log"
    for kills in (1, 2, 3):
        process = worker(storage, log, 0.3)
        begun = sum(ended(log, "begin").values())
        wait_for(lambda begun=begun: sum(ended(log, "begin").values()) >= begun + 2)
        time.sleep(0.02 * kills)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert 3 <= len(completed(storage)) < len(expected())
    last = worker(storage, log, 0.0)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert "Use r=4, lora_alpha=4" in out
    names = completed(storage)
    assert sorted(names) == sorted(each.name for each in expected())  # none lost, none twice
    assert sum(ended(log).values()) - len(names) <= 3  # a kill between the end of a run and its entry, if that
    assert sum(ended(log, "begin").values()) <= len(names) + 3  # only what was killed began again


@pytest.mark.parametrize("suffix", ["db", "journal"])
def test_processes_share_a_study(tmp_path: Path, suffix: str) -> None:
    storage, log = tmp_path / f"a.{suffix}", tmp_path / "log"
    processes = [worker(storage, log, 0.25) for _ in range(3)]
    said = [process.communicate(timeout=180) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1  # all come to the same end
    assert ended(log, "begin") == ended(log) == collections.Counter(each.name for each in expected())
    assert sorted(completed(storage)) == sorted(each.name for each in expected())
    assert len({line.split()[2] for line in log.read_text().splitlines()}) >= 2


def test_a_storage_without_heartbeats_says_what_it_waits_for_and_how_to_give_it_up(tmp_path: Path) -> None:
    storage = tmp_path / "a.journal"
    killed = worker(storage, tmp_path / "log", 60)
    wait_for(lambda: ended(tmp_path / "log", "begin"))
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    following = worker(storage, tmp_path / "log", 0.0)
    assert following.stderr is not None
    says = ""
    while "--state fail" not in says:  # by then all else that can be done is done
        says += following.stderr.readline()
    assert "--trial-number 0 --state fail" in " ".join(says.split())
    study_of(storage).tell(0, state=optuna.trial.TrialState.FAIL)
    out, _ = following.communicate(timeout=120)
    assert "Use r=4, lora_alpha=4" in out
    assert sorted(completed(storage)) == sorted(each.name for each in expected())


def test_a_run_that_sends_heartbeats_is_left_alone(tmp_path: Path) -> None:
    storage, first = tmp_path / "a.db", []

    def slow(config: Configuration) -> float:
        first.append(config.name)
        if len(first) == 1:
            time.sleep(12)
        return metric(config)

    settings: Any = {"storage": storage, "show": False, "patience": 8}  # a busy disk may hold up a sign for seconds
    other = threading.Thread(target=search, args=(slow, PLAN), kwargs=settings)
    other.start()
    wait_for(lambda: first)
    seen: list[str] = []
    search(lambda config: (seen.append(config.name), metric(config))[1], PLAN, **settings)
    other.join()
    assert not set(seen) & set(first)
    assert len(seen) + len(first) == len(expected())


def test_a_run_that_two_have_queued_is_done_once(tmp_path: Path) -> None:
    storage, done = tmp_path / "a.db", PLAN.at_rank(2)

    def stops(config: Configuration) -> float:
        if config != done:
            raise KeyboardInterrupt
        return metric(config)

    with pytest.raises(KeyboardInterrupt):
        search(stops, PLAN, storage=storage, show=False)
    study_of(storage).enqueue_trial({}, {"configuration": done.to_dict()})  # as one that looked too early would
    began: list[Configuration] = []
    result = search(lambda config: (began.append(config), metric(config))[1], PLAN, storage=storage, show=False)
    assert done not in began
    assert result.outcomes == expected()
    assert [t.state.name for t in study_of(storage).trials[:3]] == ["COMPLETE", "FAIL", "PRUNED"]


def test_an_exception_ends_the_search_and_the_run_is_not_done(tmp_path: Path) -> None:
    def broken(config: Configuration) -> float:
        if config.r == 4:
            raise KeyError("mistake")
        return metric(config)

    with pytest.raises(KeyError, match="mistake"):
        search(broken, PLAN, storage=tmp_path / "a.db", show=False)
    assert search(metric, PLAN, storage=tmp_path / "a.db", show=False).outcomes == expected()


# -- failed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (LoraWatchError(str(ALERT), [ALERT]), "LW102 norm-explosion"),
        (optuna.TrialPruned("too slow."), "too slow"),
        (float("nan"), "nan"),
    ],
)
def test_what_failed_gets_no_more_runs(tmp_path: Path, end: Any, why: str) -> None:
    asked: list[Configuration] = []

    def train(config: Configuration) -> float:
        asked.append(config)
        if config.r < 8:
            return metric(config)
        if isinstance(end, Exception):
            raise end
        return end

    result = search(train, PLAN, storage=tmp_path / "a.db", show=False)
    assert [each.seed for each in asked if each.r == 8] == [0]
    assert not any(each.r == 16 for each in asked)
    assert result.rank == 4
    assert not result.plateau
    assert any(why in sentence for sentence in result.story)
    again: list[Configuration] = []
    search(lambda config: again.append(config) or 0.0, PLAN, storage=tmp_path / "a.db", show=False)
    assert again == []  # it is remembered


def test_reports_reach_the_pruner(tmp_path: Path) -> None:
    def train(config: Configuration, attempt: Attempt) -> float:
        for step in (1, 2, 3):
            attempt.report(metric(config) + (5 if config.r == 4 else 0), step)
        return metric(config)

    pruner = optuna.pruners.ThresholdPruner(upper=4.0)
    result = search(train, PLAN, storage=tmp_path / "a.db", pruner=pruner, show=False)
    assert result.rank == 2
    assert re.search(r"pruner .*step 1\b", " ".join(result.story))


# -- what the user sees ------------------------------------------------------------------------------------------------


def test_progress_and_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(metric, PLAN, storage=tmp_path / "deep" / "a.db")
    shown = capsys.readouterr().err
    assert "run 0: r2-s1-lr0.001-seed0 …" in shown
    assert "it pays" in shown
    assert str(result).splitlines()[-1] == "Use r=4, lora_alpha=4, learning_rate=0.001."


def test_higher_may_be_better(tmp_path: Path) -> None:
    plan = Plan(1e-3, ranks=(2, 4, 8), scales=(), seeds=2, most_seeds=2, higher_is_better=True)
    result = search(lambda config: 5 - metric(config), plan, storage=tmp_path / "a.db", show=False)
    assert result.rank == 4


def test_seeds_are_set(tmp_path: Path) -> None:
    import random

    import numpy as np
    import torch

    drawn: dict[Configuration, tuple[float, ...]] = {}

    def train(config: Configuration) -> float:
        drawn[config] = (random.random(), float(np.random.rand()), float(torch.rand(())))
        return metric(config)

    search(train, PLAN, storage=tmp_path / "a.db", show=False)
    by_seed = {seed: {d for c, d in drawn.items() if c.seed == seed} for seed in (0, 1)}
    assert len(by_seed[0]) == len(by_seed[1]) == 1
    assert by_seed[0] != by_seed[1]


def test_another_plan_is_one_clear_error(tmp_path: Path) -> None:
    storage = tmp_path / "a.db"
    search(metric, PLAN, storage=storage, show=False)
    with pytest.raises(ValueError, match=r"another plan \(learning_rate 0.001 → 0.002\).*study_name"):
        search(metric, Plan(**{**PLAN.to_dict(), "learning_rate": 2e-3}), storage=storage, show=False)


def test_without_optuna_the_error_names_what_to_install() -> None:
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "from lora_watch.search import Plan, search\n"
        "search(lambda config: 1.0, Plan(1e-3))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "pip install optuna" in done.stderr.splitlines()[-1]


def test_the_dashboard_reads_it(tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")

    search(metric, PLAN, storage=tmp_path / "a.db", show=False)
    app: Any = dashboard.wsgi(f"sqlite:///{tmp_path}/a.db")

    def get(path: str) -> Any:
        status: list[str] = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": "after=0",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "CONTENT_TYPE": "application/json",
        }
        body = b"".join(app(environ, lambda state, headers, info=None: status.append(state)))
        assert status[0].startswith("200"), status
        return json.loads(body)

    study = get("/api/studies")["study_summaries"][0]
    trials = get(f"/api/studies/{study['study_id']}")["trials"]
    assert len(trials) == len(expected())
    assert {p["name"] for p in trials[0]["params"]} == {"r", "scale", "learning_rate", "seed"}


def test_a_result_of_nothing() -> None:
    assert "No rank" in str(SearchResult(PLAN, None, None, False, [], {}))
