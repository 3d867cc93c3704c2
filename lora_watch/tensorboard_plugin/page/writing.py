"""The page itself."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from lora_watch.format.files import replace_file
from lora_watch.runs.places import UnreadableError, short_names
from lora_watch.runs.run import FinishedRun, read_runs
from lora_watch.tensorboard_plugin.page.answers import Answers

MOST_BYTES = 1_500_000
"""Of a page: what chats, trackers and mail take without a word. Columns are pooled until it fits."""
MOST_COLUMNS, FEWEST_COLUMNS = 600, 50
"""Of a table. Fewer show no run: then the page is larger."""
_BYTES = 2.5
"""Of a page that a number of a table takes at least; noisy ones of pooled columns take 4."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<noscript>This report of lora_watch draws itself by JavaScript.</noscript>
<script type="text/plain" id="answers">{answers}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def write_page(paths: Iterable[Path | str], target: Path) -> list[str]:
    """One page of all runs at ``paths`` to ``target``; what could not be read of them, in words. Raises UnreadableError
    where there is nothing to show, OSError where the page cannot be written."""
    unreadable: list[str] = []
    return write_runs(list(read_runs(paths, unreadable)), target, unreadable)


def write_runs(runs: Sequence[FinishedRun], target: Path, unreadable: list[str]) -> list[str]:
    """The same of ``runs``, after what was ``unreadable`` already."""
    found = {}
    for name, run in zip(short_names([run.path for run in runs]), runs):
        if run.data.overview() is None:
            unreadable.append(f"{run.name}: there are no TensorBoard events, which hold the numbers of a report")
        else:
            found[name] = run
    if not found:
        raise UnreadableError("; ".join(unreadable))
    replace_file(target, page(found).encode())
    return unreadable


def page(runs: Mapping[str, FinishedRun]) -> str:
    sheet, script = ((Path(__file__).parent / f"bundle.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    content, room = Answers(runs), MOST_BYTES - len(sheet.encode()) - len(script.encode()) - len(_PAGE)
    items = sum(table.series.values.shape[1] for table in content.tables.values())
    columns = min(max(int(room / (_BYTES * max(items, 1))), FEWEST_COLUMNS), MOST_COLUMNS)
    while len(answers := content.packed(columns)) > room and columns > FEWEST_COLUMNS:
        columns = max(int(0.95 * columns * room / len(answers)), FEWEST_COLUMNS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    names = list(runs)
    title = escape(f"lora_watch: {names[0] if len(names) == 1 else f'{len(names)} runs'}")
    return _PAGE.format(policy=policy, title=title, style=sheet, answers=answers, script=script)
