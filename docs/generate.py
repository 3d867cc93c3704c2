"""Pages that are made from what they describe, so that they cannot fall behind it: rules, commands, the Python
interface, examples and notebooks. A hook of MkDocs. The other pages are files of this folder."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lora_watch import Rule
from lora_watch.rules.guide import pages as known
from lora_watch.settings import CallbackSettings, LightningSettings, MonitorSettings, Settings, all_of, described

ROOT = Path(__file__).resolve().parents[1]
DEMO = "lora-watch demo --quick --output-dir build/demo"
DEMO_PAGE = ROOT / "build" / "demo" / "tiny.html"


# -- MkDocs' events ----------------------------------------------------------------------------------------------------
def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = {
        "rules.md": rules,
        "evidence.md": evidence,
        "command-line.md": commands,
        "api.md": api,
        "examples.md": examples,
    }
    for name, make in pages.items():
        files.append(File.generated(config, name, content=make()))
    files.append(File.generated(config, "live-report.md", content=live_report()))
    if DEMO_PAGE.exists():
        files.append(File.generated(config, "demo.html", content=DEMO_PAGE.read_text(encoding="utf-8")))
    for name, content in (*rule_pages(), *pictures(), *notebooks()):
        files.append(File.generated(config, name, content=content))
    return files


def on_page_content(html: str, **_: Any) -> str:
    return html.replace("::</p>", ":</p>")  # how a docstring announces a piece of code


def live_report() -> str:
    """The demo's three runs as a page to try, where the demo was run before the site was built."""
    if not DEMO_PAGE.exists():
        return f"# A report to try\n\nRun `{DEMO}` before `mkdocs build`: the report of its runs is then shown here.\n"
    return (
        "# A report to try\n\nThe three runs of the demo, as `lora-watch report` writes them "
        '(<a href="../demo.html">the page alone</a>):\n\n'
        '<iframe src="../demo.html" title="report of the demo" style="width:100%;height:50rem;border:0"></iframe>\n'
    )


# -- rules and commands ------------------------------------------------------------------------------------------------
def rules() -> str:
    """The table of every finding, by id."""
    rows = "\n".join(
        f"| [{page.id}](rules/{page.id}.md) | {page.name} | {page.severity} | {page.summary} |"
        for page in known().values()
    )
    return RULES.format(rows=rows)


RULES = """# What does this alert mean?

An ERROR means a failed run, a WARNING needs a check, an INFO needs nothing. One cause makes one alert: it opens, lasts
and closes.
`lora-watch rules LW102` shows a page in a terminal, and [this page](evidence.md) says where the thresholds come from.

| id | name | severity | summary |
|---|---|---|---|
{rows}
"""


def rule_pages() -> Iterator[tuple[str, str]]:
    """``(name, content)`` of every finding's page: five sections, an alert of a real run, and a table of thresholds."""
    samples = json.loads((ROOT / "docs" / "rules" / "samples.json").read_text(encoding="utf-8"))
    for page in known().values():
        sample = samples.get(page.id, {})
        shown = [f"{page.severity}: {page.summary}"]
        if sample:
            shown.append(f"```\n{sample['alert']}\n```")
        if "curves" in sample:
            about = f"Loss and {sample['curves']['metric']}, with the alert and without"
            shown.append(f"![{about}]({page.id}.svg)")
        sections = {
            "What you see": "\n\n".join(shown),
            "What it means": page.means,
            "What to do": page.fix,
            "When it fires": page.fires,
            "Switching it off": "\n\n".join(part for part in (page.mute, _thresholds(page.rule)) if part),
        }
        parts = [f"# {page.id} {page.name}", *(f"## {title}\n\n{text}" for title, text in sections.items() if text)]
        yield f"rules/{page.id}.md", "\n\n".join(parts) + "\n"


def evidence() -> str:
    """Where the thresholds of each rule come from."""
    parts = [f"## {page.id} {page.name}\n\n{page.evidence}" for page in known().values() if page.evidence]
    return "\n\n".join(["# Where do the thresholds come from?", *parts]) + "\n"


def pictures() -> Iterator[tuple[str, str]]:
    """``(name, SVG)`` for each rule with a sample from training: the run that fires, and a healthy one."""
    for id, sample in json.loads((ROOT / "docs" / "rules" / "samples.json").read_text(encoding="utf-8")).items():
        if "curves" in sample:
            yield f"rules/{id}.svg", _picture(sample["curves"])


def _picture(curves: dict[str, Any]) -> str:
    """Two charts side by side: the loss, and the alert's metric in the adapter that it names first."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, values, title in ((left, curves["loss"], "loss"), (right, curves["values"], curves["metric"])):
        for run, label, colour in (("fires", "alert", "#c62828"), ("twin", "no alert", "#1565c0")):
            numbers = np.array(values[run], dtype=float)  # None becomes NaN
            steps = np.flatnonzero(np.isfinite(numbers))
            axes.plot(steps + 1, numbers[steps], color=colour, label=label, linewidth=1.5)
        axes.axvline(curves["step"], color="#757575", linestyle=":", label=f"alert at step {curves['step']}")
        axes.set(title=title, xlabel="step")
        positive = [abs(v) for run in values.values() for v in run if v]
        if positive and max(positive) > 30 * float(np.median(positive)):
            axes.set_yscale("log")
    if curves["threshold"]:
        right.axhline(
            curves["threshold"], color="#ef6c00", linestyle="--", label=f"threshold {curves['threshold']:.3g}"
        )
    right.set_title(f"{curves['metric']}, {curves['adapter']}", fontsize="small")
    left.legend(fontsize="small")
    right.legend(fontsize="small")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def _thresholds(rule: Rule | None) -> str:
    """How to leave the rule out, and its thresholds as a table. Findings of ``check`` and of the monitor have none."""
    if rule is None:
        return ""
    name = type(rule).__name__
    rows = "".join(f"| `{key}` | {value} |\n" for key, value in rule.thresholds.items())
    table = f"\n\n| threshold of `{name}` | default |\n|---|---|\n{rows}" if rows else ""
    return f'`LoraWatchCallback(mute=["{rule.id}"])`{table}'


def commands() -> str:
    """The help of ``lora-watch`` and of each subcommand."""
    import typer
    from typer.cli import get_docs_for_click

    from lora_watch.cli.app import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="lora-watch", title="Command line")
    # Written for a terminal: colours become code, and a list of examples the list that it is.
    text = re.sub(r"\[cyan\](.*?)\[/\]", lambda found: f"`{found[1]}`", text)
    return re.sub(r"\[bold\](.*?)\[/\]", r"**\1**", text)


# -- Python ------------------------------------------------------------------------------------------------------------
def api() -> str:
    """Every public name, with what its docstring says."""
    import lora_watch

    names = [name for name in lora_watch.__all__ if not name.startswith("__")]
    entries = "\n\n".join(map(_entry, sorted(names, key=_as_it_is_met)))
    settings = "\n\n".join(f"## Arguments of {of}\n\n{_settings(kind)}" for of, kind in _SETTINGS.items())
    return f"# Python\n\nAll of these are imported from `lora_watch` itself.\n\n{entries}\n\n{settings}\n"


def _entry(name: str) -> str:
    """Without the signature where a table has the arguments."""
    return f"::: lora_watch.{name}" + ("\n    options:\n      show_signature: false" if name in _SETTINGS else "")


_SETTINGS: dict[str, type[Settings]] = {
    "LoraWatchCallback": CallbackSettings,
    "Monitor": MonitorSettings,
    "lora_watch.lightning.LoraWatch": LightningSettings,
}


def _settings(kind: type[Settings]) -> str:
    """The table of what one way in takes."""
    rows = (
        f"| `{name}` | {'' if each.default is MISSING else f'`{each.default!r}`'} | {described(kind, name)} |"
        for name, each in all_of(kind).items()
    )
    return "\n".join(["| argument | default | meaning |", "|---|---|---|", *rows])


def _as_it_is_met(name: str) -> tuple[int, str]:
    """The names to start with come first, then the rest by the alphabet."""
    first = ("LoraWatchCallback", "watch", "Monitor", "measure", "find_adapters")
    return (first.index(name) if name in first else len(first), name)


# -- examples and notebooks --------------------------------------------------------------------------------------------
def examples() -> str:
    """The table of ``examples/README.md``, and the scripts it links to."""
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    scripts = re.findall(r"\[([\w.]+\.py)\]\(\1\)", text)
    listing = re.sub(r"\[([\w.]+)\.py\]\(\1\.py\)", r"[\1.py](#\1py)", text)
    listing = re.sub(r"\[(ci)\]\(ci\)", "`examples/ci`", listing)
    return "\n".join([listing, *(f"## {name}\n\n```python\n{_source(name)}```\n" for name in scripts)])


def _source(name: str) -> str:
    return (ROOT / "examples" / name).read_text(encoding="utf-8")


def notebooks() -> Iterator[tuple[str, str | bytes]]:
    """``(name, content)`` of a page for every notebook as it was executed, of its figures, and of their list."""
    from nbconvert import MarkdownExporter

    listed = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, resources = MarkdownExporter().from_filename(str(path))
        figures = {name: f"{path.stem}-{name}" for name in resources["outputs"]}
        for name, called in figures.items():
            text = text.replace(f"({name})", f"({called})")
            yield f"notebooks/{called}", resources["outputs"][name]
        yield f"notebooks/{path.stem}.md", text
        listed.append(f"- [{_title(path)}](notebooks/{path.stem}.md)")
    intro = "With the output of their last execution; the tests run them all. The files are in `notebooks/`."
    yield "notebooks.md", "\n".join(["# Notebooks", "", intro, "", *listed, ""])


def _title(path: Path) -> str:
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
    return "".join(first).partition("\n")[0].lstrip("# ")
