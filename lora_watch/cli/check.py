"""``lora-watch check``: judges runs from the files they left."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lora_watch.cli.common import Runs, misuse, note, print_json, refusing
from lora_watch.format.files import replace_file

if TYPE_CHECKING:
    from lora_watch.gate import Judgement

EXAMPLES = {
    "lora-watch check out": "judge the run in the Trainer's output_dir",
    "lora-watch check sweep --fail-on warning": "every run below a folder, stricter",
    "lora-watch check out --junit report.xml": "for GitLab, Jenkins …",
    "lora-watch check out --baseline good.json": "compare with a good run's report: what moved, in which layer",
}

_COLOURS = {"FAIL": "red", "UNREADABLE": "red", "  ERROR": "red", "ok": "green", "  WARNING": "yellow"}

Format = Literal["text", "json", "github"]


def check(
    runs: Runs,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="warning, error or never: findings of this severity or worse make the exit code 1. Rule by rule: "
            "error,LW203=never. Default: LORA_WATCH_FAIL_ON, else error.",
            metavar="POLICY",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="Compare with this good run: its folder, or a copy of its report.json.", metavar="RUN"),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.", metavar="FILE")] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            help="[bold]text[/], [bold]json[/] or [bold]github[/] (text and annotations). Default: [bold]github[/] "
            "inside GitHub Actions, else [bold]text[/]."
        ),
    ] = None,
) -> None:
    """Judge runs from their files, also one that broke off. The output says what went wrong, where, and what to change.

    Exit code 0: nothing of --fail-on or worse was found. 1: there are such findings; a run that was killed is one. 2:
    there is no run, or one that cannot be read, was not measured or not judged to its end; or an option is wrong.
    """
    from lora_watch.base.alerts import Severity
    from lora_watch.gate import judge
    from lora_watch.gate.baseline import load
    from lora_watch.runs.places import UnreadableError
    from lora_watch.settings import Settings

    try:
        policy = Settings(fail_on=fail_on).policy(default=Severity.ERROR)
    except ValueError as error:
        raise misuse(str(error).replace("fail_on", "--fail-on", 1)) from None
    with refusing(UnreadableError):
        kept = None if baseline is None else load(baseline)
    judgement = judge(runs, policy.default, kept, policy.by_rule)
    if kept is not None and len(judgement.runs) > 1:
        raise misuse(f"a baseline is compared with one run, and there are {len(judgement.runs)}: name one of them")
    if kept is not None and judgement.runs:
        run = judgement.runs[0].run
        if run.path.resolve() == kept.path.resolve():
            raise misuse(f"--baseline: {baseline} is the run itself. Name an earlier run, or a copy of its report.json")
        if run.run_id is not None and run.run_id == kept.run_id:
            note("the baseline is a copy of this run's own report, so nothing can have moved: it is for later runs")
    _print(judgement, format or ("github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"))
    if junit is not None:
        from lora_watch.gate.formats.junit import junit as junit_xml

        with refusing(OSError):
            replace_file(junit, junit_xml(judgement))
    raise typer.Exit(judgement.exit_code)


def _print(judgement: "Judgement", format: Format) -> None:
    from lora_watch.gate.formats.github import github
    from lora_watch.gate.formats.text import text

    if format == "json":
        print_json(judgement.to_dict())
        return
    for line in (github if format == "github" else text)(judgement).splitlines():
        colour = next((c for head, c in _COLOURS.items() if line.startswith(head + " ")), None)
        typer.secho(line, fg=colour if format == "text" else None)
