"""The routes of the tab."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug.wrappers import Request

from lora_watch.base.untrusted import MISFITS
from lora_watch.format import tags
from lora_watch.runs.data import Decoded, NotThereError, Series, spread
from lora_watch.tensorboard_plugin.board import Board, metric_of
from lora_watch.tensorboard_plugin.pooling import pool

DEFAULT_COLUMNS = 1200
MOST_COLUMNS = 20_000
STATIC = Path(__file__).parent / "static"
Args = Mapping[str, str]
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}


class BadRequestError(ValueError):
    """The query cannot be understood; the message says why."""


class LoraWatchPlugin(base_plugin.TBPlugin):
    """The routes under ``data/plugin/lora_watch/``. All are GET, take names and numbers and never a path::

        /runs                                    {run: {metrics, series, step, wall_time, verdict, message}}
        /schema?run                              the run's latest schema, with notes
        /alerts?run                              {alerts: [episode], counts, notes}, the one to show first first
        /verdict?run[&step]                      {verdict, message, next_run, besides, first}: what the run says of
                                                 itself; the place in /alerts of the one to show first by then, or null
        /metric?run&metric[&adapter][&window]    one metric: a column for each adapter, or one adapter's alone
        /spread?run&metric[&window]              the same over all adapters: max, p90, median, p10
        /scalars?run&name[&window]               a small vector, such as loss or lr

    where window is ``from``, ``to`` (steps, both counted) and ``max_cols``, or ``at``: steps with commas between them,
    of each the numbers that held then, as they are. The last three answer in binary: see
    ``pooling``.
    """

    plugin_name = tags.PLUGIN_NAME

    def __init__(self, context: Any):
        self._board = Board(context.logdir)

    def is_active(self) -> bool:
        return False  # TensorBoard looks for data of this plugin's name itself

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        return base_plugin.FrontendMetadata(es_module_path="/static/index.js", tab_name="LoRA")

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        return {
            "/static/*": self._serve_static,
            "/runs": self._route(lambda board, run, args: board.overviews()),
            "/schema": self._route(lambda board, run, args: board.run(run).schema()),
            "/alerts": self._route(lambda board, run, args: board.run(run).alerts()),
            "/verdict": self._route(_verdict),
            "/metric": self._route(_metric),
            "/spread": self._route(lambda board, run, args: _window(spread(_decoded(board, run, args)), args)),
            "/scalars": self._route(
                lambda board, run, args: _window(board.run(run).series(args.get("name", "")), args)
            ),
        }

    def _route(self, answer: Callable[[Board, str, Args], Any]) -> Callable[..., Any]:
        """A WSGI application that answers in JSON, or in binary where ``answer`` returns bytes."""

        def app(environ: Any, start_response: Any) -> Any:
            request = Request(environ)
            code = 200
            try:
                body = answer(self._board, request.args.get("run", ""), request.args)
            except BadRequestError as error:
                code, body = 400, {"error": str(error)}
            except NotThereError as error:
                code, body = 404, {"error": str(error)}
            except (OSError, *MISFITS) as error:  # a file that is gone, an event that is none of ours
                code, body = 422, {"error": f"the events of this run cannot be read: {error}"}
            kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
            return http_util.Respond(request, body, kind, code=code)(environ, start_response)

        return app

    def _serve_static(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        # One flat folder and an exact match with what is in it: no path of the request reaches the disk.
        files = {file.name: file for file in STATIC.iterdir() if file.suffix in MEDIA_TYPES}
        file = files.get(request.path.rpartition("/static/")[2])
        code, content = (404, b"not found") if file is None else (200, file.read_bytes())
        kind = "text/plain" if file is None else MEDIA_TYPES[file.suffix]
        return http_util.Respond(request, content, kind, code=code)(environ, start_response)


def _verdict(board: Board, run: str, args: Args) -> dict[str, Any]:
    data = board.run(run)
    return {**data.verdict(), "first": data.first_alert(_whole_number(args, "step"))}


def _decoded(board: Board, run: str, args: Args) -> Decoded:
    return metric_of(board.run(run), args.get("metric", ""))


def _metric(board: Board, run: str, args: Args) -> bytes:
    column = _whole_number(args, "adapter")
    series, notes = _decoded(board, run, args)
    if column is not None:
        if not 0 <= column < series.values.shape[1]:
            raise NotThereError(f"there is no adapter {column}")
        series = Series(series.steps, series.values[:, [column]], series.flags[:, [column]])
    return _window((series, notes), args)


def _window(found: Decoded, args: Args) -> bytes:
    """The window that ``args`` ask for, in binary, as LoraWatchPlugin describes."""
    series, notes = found
    if args.get("at"):
        pooled = pool(series.at([_whole_number({"at": step}, "at") or 0 for step in args["at"].split(",")]))
    else:
        window = series.between(_whole_number(args, "from"), _whole_number(args, "to"))
        pooled = pool(window, min(max(_whole_number(args, "max_cols") or DEFAULT_COLUMNS, 1), MOST_COLUMNS))
    return pooled.to_bytes(notes)


def _whole_number(args: Args, key: str) -> int | None:
    if not (text := args.get(key)):
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequestError(f"{key}={text[:40]!r} is no whole number") from None
