"""A run as one screen of a terminal, in colours."""

from rich.text import Text

from lora_watch.base.text import short, sparkline, wrapped
from lora_watch.gate.formats.text import described, passing
from lora_watch.gate.judging import Judged, Judgement
from lora_watch.runs.run import STILL_GOING, FinishedRun

_STYLES = {"  ERROR": "bold red", "  WARNING": "yellow", "  INFO": "cyan", "  Next run:": "bold"}


def screen(run: FinishedRun, width: int, title: str = "") -> Text:
    """The paragraph of ``check`` in rows of ``width`` columns, with the size over time below. What a recovery has
    discarded is in neither curve. ``title``: else the run's name."""
    judgement, found = Judgement(), [alert for alert in run.findings() if alert.name != STILL_GOING]
    judgement.runs.append(judged := Judged(run, found))
    lines = [*described(judged, judgement), *(f"  {passed}" for passed in filter(None, [passing(judgement)]))]
    if sizes := run.data.series_at("size", run.trained(run.data.steps)):
        most = 2 if run.config.get("preference") and run.config.get("reference") else 8
        usual = "" if run.untrained else f"; most good runs stay below {most}"
        what = f"how many times a layer's own output all adapters together add{usual}"
        size, at = [*sizes.values()], f" at step {last}" if (last := max(sizes)) < run.step else ""
        lines.append(f"  size of the adapters {short(size[0])} → {short(size[-1])}{at} {sparkline(size)} ({what})")
    out = Text(f"{title or run.name}\n", style="bold")
    lines += [f"  UNREADABLE {run.message}"] * (run.verdict == "unknown" and run.message is not None)
    for line in lines:
        style = next((style for head, style in _STYLES.items() if line.startswith(head + " ")), "not bold")
        said = line.lstrip()
        for row in wrapped(said, width, line.removesuffix(said)):
            out.append(f"{row}\n", style=style)
    return out
