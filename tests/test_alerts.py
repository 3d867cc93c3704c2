"""An alert is the same after it has been written and read."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_watch.base.alerts import Alert, LoraWatchError, Severity
from lora_watch.base.prescription import Evidence, Prescription, Setting
from lora_watch.base.strict_json import strict_json
from tests.sinks.made_up import alert_of

names = st.text(st.characters(categories=["L", "N", "P"]), max_size=12).filter(lambda text: "##[" not in text)
steps = st.integers(0, 2**40)
values = st.floats(allow_nan=False, allow_infinity=False)
settings = st.builds(Setting, st.none() | values, values, st.none() | values, st.none() | values)
prescriptions = st.builds(Prescription, st.dictionaries(names, settings), st.sampled_from(Evidence), steps)


@given(
    st.builds(
        Alert,
        rule=names,
        name=names,
        severity=st.sampled_from(Severity),
        step=steps,
        message=names,
        adapters=st.lists(st.tuples(names, st.floats(allow_nan=False, allow_infinity=False)), max_size=3),
        metric=st.none() | names,
        threshold=st.none() | st.floats(allow_nan=False),
        causes=st.lists(names, max_size=3),
        remedies=st.lists(names, max_size=3),
        details=names,
        next_run=st.none() | prescriptions,
        last_step=steps,
        closed_step=st.none() | steps,
    )
)
def test_what_is_written_is_read_back(alert: Alert) -> None:
    assert Alert.from_dict(json.loads(strict_json(alert.to_dict()))) == alert


def test_every_text_is_made_inert() -> None:
    serialised = alert_of(causes=["a\x1b[2Jb"], settings={"lora\nalpha": 4}, adapters=[("q\u202eproj", 1)]).to_dict()
    read = Alert.from_dict(serialised)
    assert (read.causes, read.settings, read.adapters) == (
        ["a\\x1b[2Jb"],
        {"lora\\nalpha": 4.0},
        [("q\\u202eproj", 1.0)],
    )


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": None},
        {"step": 10**30},
        {"severity": "dreadful"},
        {"severity": 3},
        {"adapters": [{"name": "a"}]},
        {"threshold": 10**400},
        {"next_run": [1]},
        {"next_run": {"settings": {"lora_alpha": {}}, "grade": "steps", "step": 1}},
        {"next_run": {"settings": {}, "grade": "hearsay", "step": 1}},
        {"closed_step": float("inf")},
    ],
)
def test_what_is_no_alert_is_a_value_error(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"severity|no alert|steps"):
        Alert.from_dict(alert_of().to_dict() | change)


def explosion() -> Alert:
    rate = Setting(0.01, 0.007, 0.0035, 0.01)
    return Alert(
        "LW102",
        "norm-explosion",
        Severity.ERROR,
        6,
        "the adapters are damaging the model",
        "A batch costs 15.9 with the adapters and 6.3 without.",
        adapters=[("layers.0.self_attn.o_proj", 13.0), ("layers.1.mlp.down_proj", 5.0), *[("layers.2", 1.0)] * 26],
        metric="output_ratio",
        causes=["learning rate 0.01 at alpha/r = 16 is too strong"],
        remedies=["look at the batches"],
        next_run=Prescription({"lora_alpha": Setting(128, 16), "learning_rate": rate}, Evidence.HARM, 6),
    )


def test_a_message_says_what_and_where_first_and_has_six_lines() -> None:
    title, *rest = explosion().lines()
    assert title == "ERROR at step 6: the adapters are damaging the model (LW102)"
    assert [line.split(":")[0] for line in rest][1:] == ["Cause", "Next run", "Fix", "More"]
    without = replace(explosion(), remedies=[])
    assert [line.split(":")[0] for line in without.lines()][2:] == ["Cause", "Next run", "Largest", "More"]
    assert without.lines()[3] == (
        "Next run: lora_alpha 128 → 16, learning_rate 0.01 → 0.007 (good range 0.004 to 0.01; from 6 steps)"
    )
    assert "adds 13 times the layer's own output" in without.lines()[4]
    assert "26 more" in without.lines()[4]
    assert "adds 100 % of the layer's own" in replace(without, adapters=[("layers.0", 1.001)]).lines()[4]


def test_where_to_go_on_from_is_said_until_the_run_has_gone_on_by_itself() -> None:
    alert = replace(explosion(), remedies=["sort, then begin anew", "less"], resume="resume from the last checkpoint")
    assert alert.to_dict()["remedies"] == ["sort, then begin anew. Then resume from the last checkpoint", "less"]
    alert.back_to = 6  # the update was dropped
    assert alert.to_dict()["remedies"] == alert.remedies


@pytest.mark.parametrize("width", [60, 80, 120])
def test_rows_fit_the_screen_and_hang(width: int) -> None:
    rows = explosion().text(width).split("\n")
    assert max(map(len, rows)) <= width
    assert [row[:2] for row in rows[1:]] == ["  "] * (len(rows) - 1)
    assert " ".join(row.strip() for row in rows) == " ".join(line.strip() for line in str(explosion()).split("\n"))


def test_an_exception_fits_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, str(LoraWatchError(str(explosion()))).split("\n"))) <= 80
