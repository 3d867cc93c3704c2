"""Pages that are made from what they describe, so that they cannot fall behind it: rules, commands, the Python
interface, examples and notebooks. A hook of MkDocs. The other pages are files of this folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lora_watch import Rule

ROOT = Path(__file__).resolve().parents[1]


# -- MkDocs' events ----------------------------------------------------------------------------------------------------
def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = {"rules.md": rules, "command-line.md": commands, "api.md": api, "examples.md": examples}
    for name, make in pages.items():
        files.append(File.generated(config, name, content=make()))
    for name, content in notebooks():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_content(html: str, **_: Any) -> str:
    return html.replace("::</p>", ":</p>")  # how a docstring announces a piece of code


# -- rules and commands ------------------------------------------------------------------------------------------------
def rules() -> str:
    """Every rule of the catalogue, by id."""
    from lora_watch.rules import catalogue

    every = sorted(catalogue(), key=lambda rule: rule.id)
    table = "\n".join(
        f"| [{rule.id}](#{rule.id.lower()}-{rule.name}) | {rule.name} | {rule.severity.name.lower()} |"
        for rule in every
    )
    return RULES.format(table=table) + "\n".join(map(_rule, every))


RULES = """# Rules

INFO is worth knowing, WARNING worth a look, ERROR means that the run is lost or will be. A threshold is a keyword
argument of its rule: `LoraWatchCallback(rules=[NormExplosion(threshold=8.0)])`. Leave a rule out with `mute=["LW203"]`.
One cause makes one alert: it opens, lasts and closes, and never repeats each step.

| id | name | severity |
|---|---|---|
{table}

The findings of `lora-watch check` beside these, LW801 to LW816, are on the page [In CI](ci.md).

"""


def _rule(rule: Rule) -> str:
    told = rule.describe()
    limits = "".join(f"| `{name}` | {value} |\n" for name, value in told["limits"].items())
    table = f"\n| limit | default |\n|---|---|\n{limits}" if limits else ""
    kind = f"`{type(rule).__module__}.{type(rule).__name__}`"
    return f"## {rule.id} {rule.name}\n\n{rule.severity.name}, {kind}\n\n{told['explains']}\n{table}"


def commands() -> str:
    """The help of ``lora-watch`` and of each subcommand."""
    import typer
    from typer.cli import get_docs_for_click

    from lora_watch.cli import app

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
    entries = "\n\n".join(f"::: lora_watch.{name}" for name in sorted(names, key=_as_it_is_met))
    return f"# Python\n\nAll of these are imported from `lora_watch` itself.\n\n{entries}\n"


def _as_it_is_met(name: str) -> tuple[int, str]:
    """What one starts with first, then the rest by the alphabet."""
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
