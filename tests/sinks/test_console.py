"""What a person reads while a run trains: one line for what opens and what closes, and one for the end."""

import re
from pathlib import Path

import pytest

from lora_watch.base.alerts import Alert, Severity, in_sum
from lora_watch.base.prescription import Evidence, Prescription, Setting
from lora_watch.rules.base import UNHARMED
from lora_watch.rules.policy import Policy
from lora_watch.sinks.console import ConsoleSink
from tests.sinks.made_up import alert_of, record_of, run_of

Captured = pytest.CaptureFixture[str]


def test_an_alert_is_reported_when_it_opens_and_when_it_closes(capsys: Captured) -> None:
    sink, alert = ConsoleSink(), alert_of(3)
    sink.write(record_of(run_of(), 3), [alert])
    assert capsys.readouterr().err == f"{alert}\n"
    alert.last_step, alert.closed_step = 7, 13
    sink.write(record_of(run_of(), 13), [alert])
    assert re.search(r"LW102 ended: seen last at step 7\.$", capsys.readouterr().err.strip())


@pytest.mark.parametrize(("cause", "how"), [("the rate", "has the same cause as"), ("the base", "gives way to")])
def test_what_another_alert_has_taken_over_is_not_over(cause: str, how: str, capsys: Captured) -> None:
    sink, rates = ConsoleSink(), alert_of(2, "LW306", Severity.WARNING, causes=[cause])
    sink.write(record_of(run_of(), 2), [rates])
    rates.closed_step = 3
    sink.write(record_of(run_of(), 3), [rates, alert_of(3, explains=["LW306"], causes=["the rate"])])
    assert f"lora_watch: LW306 {how} LW102: from step 3 on see there." in capsys.readouterr().err


def test_alerts_of_the_session_before_are_one_line_each(capsys: Captured) -> None:
    sink, told = ConsoleSink(), Prescription({"learning_rate": Setting(0.1, 0.006)})
    sink.start(run_of(), 4)
    assert capsys.readouterr().err.startswith("lora_watch: resumed at step 4.")
    sink.write(record_of(run_of(), 4), [old := alert_of(4, next_run=told), alert_of(2, "LW203", back_to=0)])
    assert capsys.readouterr().err == f"lora_watch: from the session before: {old.title}\n"
    sink.write(record_of(run_of(), 4), [new := alert_of(4, "LW314", Severity.WARNING)])
    assert capsys.readouterr().err == f"{new}\n"


def test_a_prescription_that_replaces_another_says_so(capsys: Captured) -> None:
    found = ((0.006, Evidence.WEIGHTS), (0.009, Evidence.HARM))
    sink, told = ConsoleSink(), [Prescription({"learning_rate": Setting(0.01, rate)}, of) for rate, of in found]
    for step, rule, next_run in ((0, "LW401", told[0]), (3, "LW203", None), (4, "LW102", told[1])):
        sink.write(record_of(run_of(), step), [alert_of(step, rule, Severity.WARNING, next_run=next_run)])
    first, second = [line for line in capsys.readouterr().err.splitlines() if "Next run" in line]
    assert ("instead" in first, "Next run (instead of LW401's):" in second) == (False, True)
    sink.write(record_of(run_of(), 5), [alert_of(5, "LW910", Severity.WARNING, next_run=told[1])])
    assert "instead" not in capsys.readouterr().err, "it is the same"


def test_a_recovery_is_all_that_is_said_of_what_it_is_from(capsys: Captured) -> None:
    sink = ConsoleSink(policy=Policy(default=Severity.WARNING, recover=1))
    large, spike = alert_of(3, causes=["a rate"], remedies=["begin anew"]), alert_of(2, "LW203", Severity.INFO)
    sink.write(record_of(run_of(), 2), [spike])
    large.explains, spike.causes, spike.closed_step = ["LW203"], large.causes, 3
    sink.write(record_of(run_of(), 3), [large, spike])
    large.closed_step, large.back_to, large.severity = 3, 0, Severity.WARNING
    sink.write(record_of(run_of(), 3), [large, back := alert_of(3, "LW910", Severity.WARNING)])
    assert in_sum([large, back]) == f"1 warning. Worst: {back.message} (LW910, at step 3)."
    assert in_sum([alert_of(3, "LW910", Severity.WARNING, closed_step=9)]).endswith(" (LW910, at step 3, ended).")
    assert "LW910" in (said := capsys.readouterr().err)
    assert "LW203 has the same cause as LW102" in said, "which it was not told to have when it opened"
    assert ("ERROR at step 3" in said, "begin anew" in said, "ended" in said) == (True, False, False)
    sink.write(record_of(run_of(), 9), [again := alert_of(9, remedies=["begin anew"])])
    sink.write(record_of(run_of(), 10), [])
    assert capsys.readouterr().err == f"{again}\n", "it did not recover"
    sink.finish("ok", None)
    assert "It has recovered (LW910): lora-watch check --fail-on warning does not pass" in capsys.readouterr().err


def test_a_prescription_that_is_withdrawn_is_said_to_be(capsys: Captured) -> None:
    sink = ConsoleSink()
    forecast = alert_of(0, "LW401", Severity.WARNING, next_run=Prescription({"learning_rate": Setting(0.01, 0.006)}))
    sink.write(record_of(run_of(), 1), [forecast])
    forecast.next_run, forecast.details = None, UNHARMED
    sink.finish("ok", None)
    assert "came to no harm: LW401's advice is withdrawn" in capsys.readouterr().err
    sink.write(record_of(run_of(), 2), [alert_of(2, "LW205", Severity.WARNING, kind="head")])
    sink.finish("ok", None)
    assert "mend LW205 first: LW401's advice is withdrawn" in " ".join(capsys.readouterr().err.split())


def ending(capsys: Captured, verdict: str, *alerts: Alert, steps: int = 60, message: str | None = None) -> list[str]:
    sink = ConsoleSink(lambda: {"report": Path("out/lora_watch/report.json")})
    sink.start(run_of(), 0)
    sink.write(record_of(run_of(max_steps=60), steps), alerts)
    capsys.readouterr()
    sink.finish(verdict, message)
    return capsys.readouterr().err.splitlines()


def test_a_run_without_alerts_is_not_called_good(capsys: Captured) -> None:
    last, report = ending(capsys, "ok")
    assert last == "lora_watch: 60 steps, 3 adapters, no alerts."
    (broke, *_) = ending(capsys, "interrupted", steps=9, message="ValueError: x")
    assert "(ValueError: x), 9 of 60 steps recorded" in broke
    assert "8 steps are too few to judge whether" in " ".join(" ".join(ending(capsys, "ok", steps=8)).split())
    assert "out/lora_watch/report.json" in report


def test_the_last_lines_have_what_was_found_and_the_prescription_once(capsys: Captured) -> None:
    spike = alert_of(2, "LW203", Severity.WARNING)
    large = alert_of(3, settings={"learning_rate": 2e-4}, remedies=["look at the batches"])
    last, *told, _ = ending(capsys, "unhealthy", spike, large)
    assert "1 error, 1 warning" in last
    assert "LW102" in last
    assert "learning_rate none → 0.0002" in " ".join(line.strip() for line in told)
    heads = [line.split(":")[0].strip() for line in told]
    assert [head for head in heads if head in ("Fix", "Next run")] == ["Next run", "Fix"], "as in the alert"


def test_the_last_lines_repeat_a_fix_that_no_setting_is(capsys: Captured) -> None:
    for severity in (Severity.ERROR, Severity.WARNING):
        alert = alert_of(3, "LW301", severity, remedies=["load it with is_trainable=True", "or not"])
        assert "  Fix: load it with is_trainable=True." in ending(capsys, "unhealthy", alert)


def test_a_run_that_is_too_weak_says_that_it_passes(capsys: Captured) -> None:
    for rule in ("LW104", "LW203"):
        said = " ".join(ending(capsys, "ok", alert_of(9, rule, Severity.WARNING)))
        assert said.count(f"error,{rule}=warning") == 1
    assert "Passed" not in " ".join(ending(capsys, "ok", alert_of(9, "LW910", Severity.WARNING))), "it ends no run"


def test_an_error_that_fail_on_lets_pass_is_named(capsys: Captured) -> None:
    sink = ConsoleSink(policy=Policy(default=Severity.ERROR, by_rule={"LW102": None}, patience=9))
    sink.write(record_of(run_of(muted=("LW104",)), 9), [alert_of(9), alert_of(9, "LW202")])
    sink.finish("unhealthy", None)
    said = capsys.readouterr().err
    assert "Passed with an ERROR (LW102), as fail_on says never." in said, "LW202 may last"
    assert "These rules were muted: LW104." in said


def test_a_note_is_no_warning_and_one_before_the_first_step_has_no_step_0(capsys: Captured) -> None:
    last = " ".join(row.strip() for row in ending(capsys, "ok", alert_of(0, "LW401", Severity.INFO)))
    assert "no warnings, 1 info (LW401, before step 1)" in last


def test_the_end_by_fail_on_names_the_alert_and_leaves_the_rest_to_the_exception(capsys: Captured) -> None:
    ended, graver = alert_of(3, settings={"learning_rate": 2e-4}), alert_of(2, "LW202")
    last, _ = ending(capsys, "failed", graver, ended, message=f"{ended.title}\n{graver.title}")
    assert last == "lora_watch: failed by fail_on after all its 60 steps (LW102)."


def test_a_recovery_says_what_to_put_into_the_script_once(capsys: Captured) -> None:
    told = Prescription({"learning_rate": Setting(1.0, 0.01)}, Evidence.HARM, 8)
    recovered = alert_of(8, "LW910", Severity.WARNING, next_run=told, remedies=[])
    said = "recovered at step 8 (learning_rate 1.0 → 0.01), then 52 steps without an alert. Put 0.01 into your script."
    rows = ending(capsys, "ok", alert_of(8, closed_step=8, back_to=0), recovered, message=said)[:-1]
    assert " ".join(row.strip() for row in rows) == f"lora_watch: {said}"


@pytest.mark.parametrize("verdict", ["failed", "interrupted", "unknown"])
def test_no_other_end_reads_like_a_good_one(verdict: str, capsys: Captured) -> None:
    last, *_ = ending(capsys, verdict, message="why")
    assert not last.startswith("lora_watch: 60 steps, 3 adapters, no alerts")
