"""Every figure of README and docs stands in the file that holds it, so that it falls with what is measured anew."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import guidance, lengths, published_rates
from benchmarks.corpus.cures import NEAR_BEST, UNTRIED, of_bad
from benchmarks.corpus.plan import SEEDS, everyday, faults, fresh, grid
from lora_watch.gate.baseline import TOLERANCES
from lora_watch.rules.forecast import LENGTH_EXPONENT

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def flat(name: str) -> str:
    return " ".join(read(name).split())


def states(page: str, *pieces: str) -> bool:
    """One paragraph of the page holds them all: figures with their nouns, whatever stands between them."""
    found = [re.compile(rf"(?<![\w.,]){re.escape(piece)}(?!\w)") for piece in pieces]
    paragraphs = (" ".join(each.split()) for each in read(page).replace("**", "").split("\n\n"))
    return any(all(piece.search(paragraph) for piece in found) for paragraph in paragraphs)


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every Markdown table, without emphasis."""
    found = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.replace("**", "").strip() for cell in row] for row in found]


def section(script: str) -> str:
    """What ``script`` printed, of benchmarks/RESULTS.md."""
    found = re.search(rf"^## {script}\n(.*?)(?=^## |\Z)", read("benchmarks/RESULTS.md"), re.MULTILINE | re.DOTALL)
    assert found, f"benchmarks/RESULTS.md has no section {script}"
    return found[1]


def numbers(text: str) -> list[str]:
    return re.findall(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w])", text)


COSTS = [row for row in rows(read("docs/cost.md")) if len(row) == 3 and ".py" in row[2]]
assert len(COSTS) > 8


@pytest.mark.parametrize("row", COSTS, ids=lambda row: row[0][:40])
def test_costs_are_those_of_the_benchmarks(row: list[str]) -> None:
    script = re.findall(r"`(\w+)\.py", row[2])[0]
    measured = set(numbers(section(script)))
    claimed = numbers(row[1])
    assert claimed
    assert [number for number in claimed if number not in measured] == []


MONITORS = {
    "lora_watch, error": "lora_watch, ERROR",
    "lora_watch, warning or error": "lora_watch, WARNING or worse",
    "gradient norm > 10": "gradient norm > 10",
    "ZClip, z > 2.5": "ZClip, z > 2.5",
    "Axolotl's loss watchdog": "Axolotl loss watchdog",
    "Lightning's SpikeDetection": "Lightning SpikeDetection",
}


@pytest.mark.parametrize("ours", MONITORS)
def test_detection_is_that_of_the_scores(ours: str) -> None:
    scored = {row[0]: row for row in rows(read("benchmarks/corpus/SCORES.md"))}[MONITORS[ours]]
    _, diverged, steps, damaged, wasted, _, good = scored
    counts = [cell.partition("/")[0] for cell in (diverged, damaged, wasted, good)]
    claimed = {row[0]: row for row in rows(read("docs/trust.md"))}[ours]
    assert [claimed[1], *claimed[3:]] == counts
    # A median of one run is its own highest.
    assert claimed[2] in (steps, steps.partition(",")[0])


def test_the_corpus_is_what_it_is_said_to_be() -> None:
    text, scores = flat("docs/trust.md"), flat("benchmarks/corpus/SCORES.md")
    specs = list(grid())
    runs, faulty = re.findall(r"(\d+) real runs .*?\b(\d+) with .*?fault", scores)[0]
    assert states("docs/trust.md", f"{runs} real runs", faulty, "injected fault")
    assert {spec.optimizer for spec in specs} == {"adamw_torch", "sgd", "adafactor"}
    assert states("docs/trust.md", "three optimizers", "AdamW", "SGD", "Adafactor")
    assert len({(spec.schedule, spec.warm_up > 0) for spec in specs}) == 4
    assert "four schedules" in text
    assert len(SEEDS) == 3
    assert f"ranks {min(s.r for s in specs)} to {max(s.r for s in specs)}" in text
    assert f"batch sizes {min(s.batch for s in specs)} to {max(s.batch for s in specs)}" in text
    scored = [spec for spec in (*grid(), *fresh(), *everyday(held_out=True)) if spec.held_out]
    shortest, longest = min(spec.steps for spec in scored), max(spec.steps for spec in scored)
    assert f"**Lengths**: {shortest} to {longest} steps" in text
    assert f"at most {longest} steps" in flat("README.md")
    assert f"at most {longest} steps" in flat("docs/guidance.md")
    assert sum(spec.steps <= 100 for spec in scored) > 0.6 * len(scored)  # "most of these runs end by step 100"
    named = [row for row in rows(scores_table("## Injected faults")) if row[1].startswith("LW")]
    assert all(row[2].startswith("1/1") for row in named)
    assert f"26 kinds {len(named)} are named" in text
    assert list(faults(["x"]))


def test_false_errors_are_those_of_the_scores() -> None:
    (line,) = re.findall(r"^The false ERRORs: (.*)\.$", read("benchmarks/corpus/SCORES.md"), re.MULTILINE)
    names = line.split(", ")
    again = {run["name"]: run for run in json.loads(read("benchmarks/corpus/cures.json"))}
    better = sum(again[name]["gain"] > again[name]["gain_before"] for name in names)
    assert states("docs/trust.md", f"{better} of these {len(names)} did even better")
    rates = [float(re.findall(r"_lr([\d.e-]+)_", name)[0]) for name in names]
    assert min(rates) == 0.01
    scored = {row[1]: row for row in rows(read("benchmarks/corpus/SCORES.md")) if row[0] == "learning rate"}
    assert f"{scored['up to 0.005'][3]} in {scored['up to 0.005'][2]} good runs" in flat("docs/trust.md")


def scores_table(heading: str) -> str:
    return read("benchmarks/corpus/SCORES.md").partition(heading)[2].partition("\n## ")[0]


def test_advice_does_what_it_is_said_to_do() -> None:
    runs = of_bad(json.loads(read("benchmarks/corpus/cures.json")))
    named = [run for run in runs if run["rule"] and run["verdict"] != UNTRIED]
    fixed, good = (sum(run["verdict"] in kinds for run in named) for kinds in (("fair", "good"), ("good",)))
    missed = [run["label"] for run in runs if not run["rule"]]
    of_all = f"{fixed} of {len(named)}"
    near_best = sum((run["gain"] or 0.0) >= NEAR_BEST for run in named)
    assert states("docs/trust.md", of_all, "no longer", f"{good} are good", f"{near_best} of {len(named)}")
    assert f"{len(missed)} of the {len(runs)}" in flat("docs/trust.md")
    smollm2 = [run for run in named if run["name"].startswith("smollm2")]
    assert f"{sum(run['gain'] >= NEAR_BEST for run in smollm2)} of {len(smollm2)}" in flat("docs/trust.md")
    assert states("README.md", of_all, "wasted runs")


def test_long_runs_are_those_of_the_scores() -> None:
    scores, text = flat("benchmarks/corpus/SCORES.md"), flat("docs/trust.md")
    runs, faulty, steps, false, rate = re.findall(
        r"(\d+) runs of 1,500 steps.*?\b(\d+) of them .*?fault.*?([\d,]+) healthy steps.*?(\d+) false alerts.*?"
        r"([\d.]+) in 10,000 steps",
        scores,
    )[0]
    named, median, most = re.findall(r"rules named (\d+)/\d+.*?([\d.]+) steps \(median\).*?most (\d+)", scores)[0]
    assert f"{runs} runs of 1,500 steps" in text
    assert states("docs/trust.md", f"{steps} healthy steps", f"{false} false alerts", f"{rate} in 10,000")
    assert named == faulty
    assert states("docs/trust.md", f"{faulty} late faults", f"{median} steps (median", f"most {most}")


def test_what_a_sweep_finds_is_what_was_measured() -> None:
    untouched = read("benchmarks/corpus/FIND_LR.md").partition("## On the other seeds")[0]
    scored = {row[0]: row for row in rows(untouched)}
    claimed = [row for row in rows(read("docs/learning-rate.md")) if row[0] in scored]
    assert claimed == list(scored.values())
    good = list(scored.values())[2][2].replace("/", " of ")
    assert states("README.md", f"{good} runs", "90 %")
    assert f"{good} cases" in flat("docs/guidance.md")
    assert f"{list(scored.values())[3][4]} of the best" in flat("docs/guidance.md")
    cases = re.findall(r"\((\d+) cases", untouched)[0]
    assert f"{cases} held-out cases" in flat("docs/learning-rate.md")


def test_the_lengths_of_runs_are_those_that_were_measured() -> None:
    runs, page = lengths.load(), read("benchmarks/LENGTHS.md")
    assert lengths.section(runs) in page
    assert round(lengths.chosen_power(runs), 1) == LENGTH_EXPONENT
    others = [row for row in rows(page) if row[-1] == "no"]  # of which the powers were not chosen
    for at in (-3, -2):  # gain at the short run's rate, at the lowered one
        gains = sorted(row[at] for row in others)
        assert states("docs/guidance.md", f"{gains[0]} to {gains[-1]}")
    python = rows(lengths.rates_table(runs))[1]
    assert states("docs/guidance.md", f"{python[5]} at 40 steps", f"{python[8]} at 2,000")
    assert f"all {len(runs)} runs" in flat("docs/guidance.md")


def test_ranks_by_task_are_those_that_were_measured() -> None:
    stored, text = guidance.load(), flat("docs/guidance.md")
    for task in ("by heart", "domain"):
        losses = [f"{guidance.best(stored, f'{task} r{r}')[0]:.2f}" for r in (2, 8, 32)]
        assert f"{losses[0]}, {losses[1]} and {losses[2]}" in text, task
    time = stored["times"]
    assert f"{time['adalora'] / time['lora r8'] - 1:.0%} more time".replace("%", " %") in text
    at = {name: guidance.mean_of(stored, name) for name in ("rslora r64 lr0.002", "plain r64 lr0.002")}
    assert f"{at['rslora r64 lr0.002']:.2f} instead of {at['plain r64 lr0.002']:.2f}" in text


def test_larger_models() -> None:
    page = read("docs/larger-models.md")
    rates = [row for row in rows(page) if len(row) == 6 and row[0] != "model"]
    published = published_rates.table(published_rates.published())
    assert [row for row in rates if row[3] == "published"] == rows(published)[1:]
    assert all(1 / 3 < float(row[-1]) < 3 for row in rates)
    today = scores_table("## Larger models").partition("### With the rules of today")[2].partition("\n### ")[0]
    of_both = [row[:8] for row in rows(today) if row[8] == "both"]
    by_model = [*rows(scores_table("## By model"))[1:], *of_both]
    assert [row for row in rows(read("docs/trust.md")) if len(row) == 8][1:] == by_model
    runs = sum(int(row[2]) for row in of_both)
    assert states("README.md", f"in {runs} runs of three larger ones")
    named, ruined = (sum(int(n) for n in column) for column in zip(*(row[3].split()[0].split("/") for row in of_both)))
    good = sum(int(row[4].split()[-1]) for row in of_both)
    assert all(row[4].startswith("0 ") and row[5].startswith("0 ") for row in of_both)
    assert states("README.md", f"{named} of {ruined} ruined runs", f"none of {good} good ones")
    assert states("docs/larger-models.md", f"{named} of {ruined} ruined runs")
    assert states("docs/larger-models.md", f"{runs} runs of 24 steps")
    assert states("docs/larger-models.md", f"None of {good} good runs")
    larger = scores_table("## Larger models")
    again = rows(larger.partition("### Bad runs again")[2].partition("\n### ")[0])
    of_gemma, *of_qwen = [row for row in again if row[1] == "both"]
    assert all(row[5].endswith("(100 %)") for row in of_qwen)
    assert states("docs/larger-models.md", "in {0} of {0}, Gemma's".format(sum(int(row[2]) for row in of_qwen)))
    good_again, no_longer_bad = (of_gemma[column].split()[0].split("/") for column in (5, 3))
    assert states("docs/larger-models.md", "Gemma's in {} of {}; {} of Gemma's".format(*good_again, no_longer_bad[0]))
    factors = {row[0]: row[6].split()[0].split("/") for row in rows(larger) if len(row) == 10}
    assert states("docs/larger-models.md", "0.4 of it", "gain in {} of {} grids".format(*factors["0.4"]))
    beside = {row[0]: row[3:] for row in rows(larger) if row[1] == "600"}
    (half, twice), (of_a_head, twice_of_a_head) = beside["packaged Llama"], beside["MiniLM"]
    pieces = f"{half} of the gain (MiniLM {of_a_head})", f"twice it {twice} ({twice_of_a_head})"
    assert states("docs/learning-rate.md", *pieces)
    swept = [row for row in rows(larger) if len(row) == 6 and "→" in row[4]]
    middle, found = ([row for row in swept if ("range" in row[3]) == without] for without in (True, False))
    reached = sorted(float(row[5]) for row in middle)
    assert {(row[0], row[1]) for row in middle if row[2] != "128"} == {("Gemma 3 270M", "news")}
    assert {row[2] for row in found} == {"512"}
    assert all(float(row[5]) > 0.95 for row in found)
    assert states("docs/larger-models.md", f"middle reached {reached[0]:.2f} to {reached[-1]:.2f}", found[0][3])


def test_policies_were_named_as_it_is_said() -> None:
    found = [row for row in rows(scores_table("## Policies")) if row[0] == "GRPO, RLOO" and row[2] == "a row each step"]
    kept = {row[1]: [cell.split()[0] for cell in row[3:8]] for row in found}
    for seeds, name in (("seen", "seeds 1 to 5"), ("fresh", "new seeds")):
        errors, warned, _, wasted, collapsed = kept[seeds]
        assert [name, warned, errors, wasted, collapsed] in rows(read("docs/policies.md"))
    dipped, steady = re.findall(r"(?:WARNING in|it was) (\d+)/(\d+)", scores_table("## Policies"))
    assert states("docs/policies.md", "{} of {} that lost reward for a while, {} of {} others".format(*dipped, *steady))


def test_recovering_does_what_was_measured() -> None:
    page, text = read("benchmarks/corpus/RECOVERY.md"), flat("docs/recovering.md")
    marks = {mark.partition(":")[0]: measured for mark, measured in rows(page.partition("## Settings that fail")[0])}
    fixed, good = (marks[f"failing settings {what}"].partition(" ")[0].split("/") for what in ("no longer bad", "good"))
    lost = marks["steps lost"].partition(",")[0]
    assert states("docs/recovering.md", f"{fixed[0]} of {fixed[1]} failing runs ended good")
    assert good == fixed
    assert f"median of {lost} steps" in text
    (healthy,) = re.findall(r"healthy runs: 0 recoveries \| 0 in (\d+) runs", page)
    assert states("docs/recovering.md", f"none of {healthy} healthy runs")


def test_the_readmes_three_numbers() -> None:
    scored = {row[0]: row for row in rows(read("benchmarks/corpus/SCORES.md"))}["lora_watch, ERROR"]
    diverged, damaged, good = (cell.partition(" ")[0].split("/") for cell in (scored[1], scored[3], scored[6]))
    assert states("README.md", f"{damaged[0]} of {damaged[1]} damaged", f"{diverged[0]} of {diverged[1]} diverged")
    assert states("README.md", f"{good[0]} of {good[1]} good ones")
    bad = int(diverged[1]) + int(damaged[1])
    named = int(diverged[0]) + int(damaged[0])
    assert states("docs/trust.md", f"the {bad} runs that were damaged or diverged {named} got")
    assert states("docs/trust.md", f"{good[0]} of {good[1]} good ones")
    assert states("docs/trust.md", f"{int(damaged[1]) - int(damaged[0])} of {damaged[1]} damaged")


def real_runs() -> dict[str, tuple[int, int]]:
    """Alerts and steps of each real run of the loss benchmark."""
    found = re.findall(r"^(\w+_b\d+_seed\d+) +[\d.]+ \((\d+) in ([\d,]+)\)", section("loss_detection"), re.MULTILINE)
    return {name: (int(alerts), int(steps.replace(",", ""))) for name, alerts, steps in found}


def test_false_alarms_on_real_losses() -> None:
    runs = real_runs()
    assert len(runs) > 10

    def total(*kinds: str) -> tuple[int, int]:
        chosen = [found for name, found in runs.items() if name.startswith(kinds)]
        return sum(a for a, _ in chosen), sum(s for _, s in chosen)

    alerts, steps = total("")
    rate = f"{1e4 * alerts / steps:.2f} in 10,000 steps"
    assert states("docs/trust.md", f"{steps:,} steps", "healthy", f"{alerts} alerts", rate)


def test_the_gates_tolerances() -> None:
    text = flat("docs/ci.md")
    assert f"more than {TOLERANCES['loss']:.0%} higher".replace("%", " %") in text
    assert f"more than {TOLERANCES['typical_norm']:.0%} off".replace("%", " %") in text
    assert f"factor of {TOLERANCES['layer_norm']:g}" in text
