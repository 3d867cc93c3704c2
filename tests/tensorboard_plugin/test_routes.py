"""The routes of the tab, in the real TensorBoard."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from lora_watch.base.strict_json import strict_json
from lora_watch.format import tags
from lora_watch.runs.data import INF, NAN, UNKNOWN
from lora_watch.sinks.event_file import put
from lora_watch.sinks.tensorboard import TensorBoardSink
from lora_watch.tensorboard_plugin.board import Board
from tests.sinks.made_up import alert_of
from tests.tensorboard_plugin.made_up import HOSTILE, record_of, run_of, write, write_broken_run
from tests.tensorboard_plugin.serving import routes


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    write_broken_run(folder / "run")
    return folder


def write_events(folder: Path, *written: tuple[int, list[Any]], wall_time: float = 1e9) -> None:
    writer = EventFileWriter(str(folder))
    for i, (step, values) in enumerate(written):
        event = event_pb2.Event()
        for tag, content in values:
            put(event, tag, content)
        event.step, event.wall_time = step, wall_time + i
        writer.add_event(event)
    before = set(folder.glob("events.out.tfevents.*.*"))
    writer.close()
    (file,) = before  # readers go by name, and those of one second need not sort by age
    file.rename(folder / f"events.out.tfevents.{int(wall_time)}")


def vector(name: str, numbers: list[float]) -> Any:
    return tags.METRIC_PREFIX + name, np.array(numbers)


def schema_of(*names: str, **fields: Any) -> Any:
    return tags.SCHEMA, strict_json({"version": 1, "adapters": [{"name": n} for n in names]} | fields)


def test_every_step_is_kept_and_nothing_is_thinned_at_random(tmp_path: Path) -> None:
    run = run_of(2)
    write(tmp_path / "long", run, [record_of(run, step) for step in range(1, 301)])
    with routes(tmp_path) as tab:
        table = tab.table("metric", run="long", metric="output_ratio")
        assert table.header["first"] == list(range(1, 301))
        np.testing.assert_allclose(table.low[:, 0], np.arange(1, 301) / 100, rtol=1e-6)
        assert tab.json("runs")["long"]["step"] == 300
        assert tab.json("runs")["long"]["metrics"] == ["delta_norm", "output_ratio"]


def test_what_is_broken_in_a_run_arrives(broken: Path) -> None:
    with routes(broken) as tab:
        whole = tab.table("metric", run="run", metric="output_ratio")
        np.testing.assert_array_equal(np.flatnonzero(whole.flags[:, 3]), [79])
        assert whole.flags[79, 3] == NAN
        np.testing.assert_array_equal(np.flatnonzero(whole.flags[:, 7] == INF), np.arange(119, 160))
        assert (whole.flags[:, 11] == UNKNOWN).all()
        assert np.count_nonzero(whole.flags) == 1 + 41 + 160

        few = tab.table("metric", run="run", metric="output_ratio", max_cols=10)
        assert few.header["pooled"]
        assert few.header["first"] == list(range(1, 161, 16))
        np.testing.assert_array_equal(few.flags[:, 3], [NAN if first == 65 else 0 for first in few.header["first"]])


def test_a_run_that_goes_on_is_read_on(tmp_path: Path) -> None:
    run, sink = run_of(2), TensorBoardSink(tmp_path / "run")
    sink.start(run, 0)
    with routes(tmp_path) as tab:
        for last in (3, 5):
            for step in range(last - 2, last + 1):
                sink.write(record_of(run, step), [])
            sink.flush()
            assert tab.table("metric", run="run", metric="delta_norm").header["first"] == list(range(1, last + 1))
            assert tab.json("runs")["run"]["step"] == last
        sink.finish("ok", None)
        assert tab.json("verdict", run="run")["verdict"] == "ok"


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    run = run_of(2)
    for folder, last in (("run", 9), ("other", 3)):
        write(tmp_path / folder, run, [record_of(run, step) for step in range(1, last + 1)])
    (file,), (other,) = ((tmp_path / folder).glob("events*") for folder in ("run", "other"))
    with routes(tmp_path) as tab:
        assert tab.json("runs")["run"]["step"] == 9
        file.write_bytes(other.read_bytes())
        assert tab.json("runs")["run"]["step"] == 3
        assert tab.table("metric", run="run", metric="delta_norm").header["first"] == [1, 2, 3]


def test_links_that_lead_back_or_nowhere_hide_no_run(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(broken / "run")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "a" / "round").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "round").symlink_to(tmp_path / "a")
    write(tmp_path / "a" / "run", run_of(2), [record_of(run_of(2), 1)])
    (tmp_path / "a" / "run" / "events.out.tfevents.gone").symlink_to(tmp_path / "nowhere")
    runs = Board(str(tmp_path)).overviews()  # TensorBoard itself would go round and round
    assert list(runs) == ["a/run", "b/round/run", "run"]


def test_a_run_is_kept_once_whatever_a_request_calls_it(broken: Path) -> None:
    board = Board(str(broken))
    assert len({id(board.run(name)) for name in ("run", "run/", "./run", "run//", "a/../run")}) == 1


def test_a_window_one_adapter_and_the_spread(broken: Path) -> None:
    with routes(broken) as tab:
        table = tab.table("metric", run="run", metric="delta_norm", adapter=20, **{"from": 50, "to": 59})
        assert table.header["first"] == list(range(50, 60))
        np.testing.assert_allclose(table.low[:, 0], 3 * np.arange(50, 60) / 100, rtol=1e-6)

        spread = tab.table("spread", run="run", metric="output_ratio", **{"from": 80, "to": 80})
        known = [(1 + i / 40) * 0.8 for i in range(40) if i not in (3, 11)]
        expected = [max(known), *np.percentile(known, [90, 50, 10])]
        np.testing.assert_allclose(spread.low[0], expected, rtol=1e-6)
        assert (spread.flags == NAN).all()

        loss = tab.table("scalars", run="run", name="loss")
        np.testing.assert_allclose(loss.low[:, 0], 4 - np.arange(1, 161) / 100, rtol=1e-6)

        single = tab.table("metric", run="run", metric="output_ratio", adapter=3, at="0,7,80,999", max_cols=1)
        assert (single.header["first"], single.header["pooled"]) == ([7, 80, 160], False)
        np.testing.assert_array_equal(single.flags[:, 0], [0, NAN, 0])


def test_what_a_run_says_of_its_end(tmp_path: Path) -> None:
    run = run_of(2)
    for verdict, message in (("ok", None), ("failed", HOSTILE)):
        sink = TensorBoardSink(tmp_path / verdict)
        sink.start(run, 0)
        sink.write(record_of(run, 1), [])
        sink.finish(verdict, message)
    going = TensorBoardSink(tmp_path / "going")
    going.start(run, 0)
    going.write(record_of(run, 1), [alert_of(1, settings={"lora_alpha": 8})])
    going.flush()
    back = TensorBoardSink(tmp_path / "back")
    back.start(run, 0)
    back.write(record_of(run, 1), [alert_of(1, back_to=0, closed_step=1)])
    back.finish("ok", None)
    write_events(tmp_path / "bare", (1, [vector("delta_norm", [1, 2])]))
    write(tmp_path / "broken", run, [record_of(run, 1)], {}, "interrupted")
    with routes(tmp_path) as tab:
        assert tab.json("alerts", run="broken")["counts"] == {"error": 1}, "as check counts"
        said = {name: tab.json("verdict", run=name) for name in ("ok", "failed", "going", "back", "bare")}
    going.finish("ok", None)
    prescribed = {name: one.pop("next_run") for name, one in said.items()}
    assert prescribed["going"]["text"] == "lora_alpha none → 8 (from the settings)"
    assert said == {
        "ok": {"verdict": "ok", "message": None, "besides": None, "first": None},
        "failed": {"verdict": "failed", "message": HOSTILE, "besides": None, "first": 0},
        "going": {"verdict": "running", "message": None, "besides": None, "first": 0},
        "back": {"verdict": "ok", "message": None, "besides": None, "first": None},
        "bare": {"verdict": None, "message": None, "besides": None, "first": None},
    }


def test_columns_follow_the_adapters_when_their_set_changes(tmp_path: Path) -> None:
    write_events(
        tmp_path / "run",
        (0, [schema_of("a", "b")]),
        (1, [vector("delta_norm", [1, 2])]),
        (2, [schema_of("c", "a")]),
        (3, [vector("delta_norm", [30, 10])]),
    )
    with routes(tmp_path) as tab:
        table = tab.table("metric", run="run", metric="delta_norm")
    np.testing.assert_array_equal(table.low, np.float32([[np.nan, 1], [30, 10]]))
    np.testing.assert_array_equal(table.flags, [[UNKNOWN, 0], [0, 0]])


def test_a_run_without_a_readable_schema_and_one_of_a_newer_version_are_shown_with_a_note(tmp_path: Path) -> None:
    write_events(tmp_path / "torn", (0, [(tags.SCHEMA, b"{")]), (1, [vector("delta_norm", [1, 2])]))
    newer = [schema_of("a", version=99, max_steps="many"), (tags.VERDICT, b'{"verdict": "ok"}')]
    write_events(tmp_path / "newer", (0, newer), (1, [vector("delta_norm", [1])]))
    with routes(tmp_path) as tab:
        assert tab.table("metric", run="torn", metric="delta_norm").low.tolist() == [[1, 2]]
        assert "numbered" in tab.json("schema", run="torn")["notes"][0]
        assert "newer" in tab.json("schema", run="newer")["notes"][0]


def test_what_cannot_be_answered_is_a_client_error_in_words(broken: Path) -> None:
    with routes(broken) as tab:
        for route, query, code in [
            ("metric", {"run": "run", "metric": "nothing"}, 404),
            ("metric", {"run": "../run", "metric": "delta_norm"}, 404),
            ("metric", {"run": "run", "metric": "delta_norm", "adapter": 40}, 404),
            ("metric", {"run": "run", "metric": "delta_norm", "adapter": -1}, 404),
            ("metric", {"run": "run", "metric": "delta_norm", "from": "soon"}, 400),
            ("scalars", {"run": "run"}, 404),
            ("spread", {"run": HOSTILE, "metric": HOSTILE}, 404),
        ]:
            reply = tab.reply(route, **query)
            assert reply.status_code == code, (route, query)
            assert json.loads(reply.get_data(as_text=True))["error"]
            assert reply.mimetype == "application/json"
        assert tab.json("alerts", run="nowhere") == {"alerts": [], "counts": {}, "notes": []}


def test_static_files_are_those_of_one_folder(broken: Path) -> None:
    with routes(broken) as tab:
        index = tab.reply("static/index.js")
        assert (index.status_code, index.mimetype) == (200, "text/javascript")
        assert tab.reply("static/style.css").mimetype == "text/css"
        for name in ("../plugin.py", "..%2fplugin.py", "%2e%2e/plugin.py", "/etc/passwd", "nothing.js", ""):
            assert tab.reply(f"static/{name}").status_code == 404, name
