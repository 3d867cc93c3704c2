"""The one place that catches, and when what is measured."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from lora_watch.base.alerts import Alert
from lora_watch.base.records import StepRecord
from lora_watch.gate import judge
from lora_watch.run.guard import Guard, guarded
from lora_watch.run.sinks import Sinks
from lora_watch.sinks.report import ReportSink
from tests.sinks.made_up import record_of, run_of


def test_a_failure_goes_no_further_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    reported: list[str] = []
    guard = Guard(lambda message, remedy: reported.append(message))
    for doing in ("one", "one", "two"):
        with guard(doing):
            raise ValueError("broken")
    assert [message.partition(":")[0].split()[-1] for message in reported] == ["one", "two"]
    assert caplog.text.count("Traceback") == 2


def test_an_interrupt_while_a_failure_is_told_leaves_no_door_open() -> None:
    def fails(message: str, remedy: str) -> None:
        raise KeyboardInterrupt

    guard = Guard(fails)
    for error in (ValueError, KeyboardInterrupt):  # who stops a training is not held up
        with pytest.raises(KeyboardInterrupt), guard("measuring"):
            raise error
        assert torch.is_grad_enabled()
    with guard("measuring"):
        pass
    assert torch.is_grad_enabled()
    assert guard.seconds == guard.seconds, "a clock still runs"


def test_a_log_that_fails_costs_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError

    handler, reported = Raises(), []
    for name in ("lora_watch", "filelock"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [handler])
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
        logging.getLogger(name).manager._clear_cache()  # type: ignore[attr-defined]
    guard = Guard(lambda message, remedy: reported.append(message))
    for error in (OSError(28, "No space left"), ValueError("broken")):
        with guard("measuring"):
            raise error
    assert len(reported) == 2
    sink = ReportSink(tmp_path)
    sink.start(run_of(), 0)
    sink.finish("ok", None)
    assert (tmp_path / "report.json").exists()


def test_time_inside_counts_once_and_gradients_are_off_inside_alone() -> None:
    guard = Guard(lambda message, remedy: None)
    began = time.perf_counter()
    with guard("outer"), guard("inner"):
        time.sleep(0.02)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert 0.02 <= guard.seconds <= time.perf_counter() - began


def test_a_door_that_fails_on_its_way_out_leaves_gradients_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Guarded:
        guard = Guard()

        @guarded("measuring")
        def measure(self) -> None:
            monkeypatch.setattr(time, "perf_counter", None)

    Guarded().measure()
    assert torch.is_grad_enabled()


def test_the_overhead_is_the_share_of_the_time_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    guard, clock = Guard(), 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    with guard("working"):
        clock = 1.0
    guard.start_clock()  # what was spent before does not count
    with guard("working"):
        clock = 1.5
    clock = 11.0
    assert guard.overhead == pytest.approx(0.05)


@pytest.mark.parametrize(("until", "verdict", "code"), [(5, "unknown", 2), (2, "ok", 0)])
def test_a_report_that_lacks_the_end_of_a_run_is_not_ok(until: int, verdict: str, code: int, tmp_path: Path) -> None:
    """A sink fails up to a step. The other sinks know that all is well."""

    class Fails(ReportSink):
        def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
            if record.step <= until:
                raise ValueError("broken")
            super().write(record, alerts)

    guard, run = Guard(), run_of(max_steps=5)
    sinks = Sinks([Fails(tmp_path / "a"), ReportSink(tmp_path / "b")], guard)
    sinks.start(run, 0)
    for step in range(6):
        sinks.write(record_of(run, step), [])
    sinks.finish("ok", None)
    for name, *expected in (("a", verdict, code), ("b", "ok", 0)):
        judgement = judge([tmp_path / name])
        assert [judgement.runs[0].run.verdict, judgement.exit_code] == expected
    assert guard.failures == 0, "a sink costs no judgement"


def test_an_object_that_lacks_some_of_a_sinks_methods_is_a_sink() -> None:
    class Steps:
        def __init__(self) -> None:
            self.written: list[int] = []

        def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
            self.written.append(record.step)

    failed: list[str] = []
    own, run = Steps(), run_of()
    sinks = Sinks([own], Guard(lambda message, remedy: failed.append(message)))  # type: ignore[list-item]
    sinks.start(run, 0)
    sinks.updated(1)
    sinks.write(record_of(run, 1), [])
    sinks.finish("ok", None)
    assert own.written == [1]
    assert failed == []


def test_doors_of_two_threads_do_not_disturb_each_other() -> None:
    guard, first, second, last = Guard(), threading.Event(), threading.Event(), threading.Event()
    left: list[bool] = []

    def other() -> None:
        with torch.no_grad():
            first.wait()
            with guard("the other's"):
                second.set()
                last.wait()
        left.append(torch.is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    with guard("the first's"):
        first.set()
        second.wait()
    last.set()
    thread.join()
    assert torch.is_grad_enabled()
    assert left == [True], "as the thread had it"
    assert guard.failures == 0
