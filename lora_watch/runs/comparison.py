"""Finished runs side by side, from the files they left: the settings they had and the quality they reached."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lora_watch.base.alerts import Severity, in_numbers, tally
from lora_watch.base.text import clean, count, first_of, mean_and_spread, middle, short, table
from lora_watch.base.untrusted import MISFITS
from lora_watch.format.tags import EVAL_LOSS, eval_losses
from lora_watch.rules.policy import MONITOR_FAILURE, OF_FINISHED_RUNS
from lora_watch.runs.places import short_names
from lora_watch.runs.run import STOPPED_EARLY, FinishedRun, read_runs

COMPARISON_VERSION = 2
REWARD = "reward"
"""The quality of a policy: the mean of its last five rewards."""
QUALITIES = ("eval_reward", EVAL_LOSS, REWARD)
"""The first that all runs have is compared."""
FINAL_LOSS = "final_loss"
"""The one quality that every run has: the mean loss of the last tenth of its steps. The Trainer's own ``train_loss`` is
that of all."""
T_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833)
"""Student's t that 95 in 100 are below, for 1 degree of freedom to 9; for more the last is wide enough."""
WIDTH = 100
"""Columns of the text."""
LONGEST_NAME = 28
"""Characters of a run's name in it."""

_NOT_A_SETTING = {
    "seed", "data_seed", "learning_rate", "r", "init_r", "lora_alpha",  # columns, or what repeats vary
    "find_lr", "own_learning_rate", "unused_learning_rate",  # where the learning rate comes from
    "parameters", "trainable_parameters", "classes",  # follow from the model and the rank
    "base_model_name_or_path", "peft_version", "inference_mode",  # said elsewhere, or of no effect on training
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One run, as it is compared. Every text is clean."""

    name: str
    r: int | None
    """Of most adapters; None where nothing is known of any."""
    alpha: float | None
    scale: float | None
    """s of most adapters when training began."""
    lr: float | None
    """Peak learning rate of the adapters: the script's, unless the run had another (long warm-up, recovery)."""
    own_lr: float | None
    """The script's; None where it is not known."""
    seed: int | None
    settings: Mapping[str, str]
    """Everything else that was set, the training data included."""
    quality: Mapping[str, float]
    """By name: what the last evaluation found, and ``final_loss``."""
    step: int
    alerts: Mapping[str, int]
    """How many there are of each severity."""
    left_out: str | None
    """Why it is not ranked, whatever its quality, in words; None if it is."""

    @property
    def configuration(self) -> tuple[Any, ...]:
        """Equal for repeats: every setting is the same, and the training data are known to be, and what rewards a
        policy. A run that is not ranked repeats none."""
        rewarded = REWARD in self.quality and "preference" not in self.settings
        known = ["train_data", *["reward_funcs"] * rewarded]
        settings = dict.fromkeys(known, f"unknown, of {self.name}") | dict(self.settings)
        scale = None if self.scale is None else f"{self.scale:.6g}"
        return self.r, self.alpha, scale, self.lr, self.own_lr, frozenset(settings.items()), self.left_out and self.name


_NOT_SET = "not set"
BEGINNING = "adapters began"
"""The setting that says whether a run has gone on with trained adapters."""


@dataclass
class Comparison:
    """Everything that one call of ``lora-watch compare`` has found."""

    metric: str
    """The quality that is compared."""
    configurations: list[list[Trial]]
    """Repeats together, in the order of rank, scale and learning rate."""
    notes: list[str]
    """What was left out, in words."""
    unreadable: list[str]
    """What could not be read, one sentence each."""

    @property
    def higher_is_better(self) -> bool:
        return not self.metric.endswith("loss")

    @property
    def exit_code(self) -> int:
        """0, or 2 where something could not be read or there is nothing."""
        return 2 if self.unreadable or not self.configurations else 0

    @property
    def best(self) -> int | None:
        """The place of the configuration with the best mean; None where no run has the metric, or ``why_no_best``."""
        return None if self.why_no_best else next(iter(self.best_first), None)

    @property
    def best_first(self) -> list[int]:
        """The indices of those configurations that have a value and are ranked, by their means."""
        means = [self.mean(trials) for trials in self.configurations]
        having = [i for i, mean in enumerate(means) if mean is not None]
        return sorted(having, key=lambda i: means[i] or 0.0, reverse=self.higher_is_better)

    @property
    def why_no_best(self) -> str | None:
        """Why the metric does not say which of the runs that count is best, in words; None where it does."""
        counted = [t for c in self.configurations for t in c if t.left_out is None and self.metric in t.quality]
        names = ["eval_data" if self.metric.startswith("eval") else "train_data"]
        names += ["reward_funcs"] * self.metric.endswith(REWARD)
        found = {name: {t.settings[name] for t in counted if name in t.settings} for name in names}
        if names := [name for name in names if len(found[name]) > 1]:
            return f"their {' or '.join(names)} differ, and the {self.metric} with them"
        if not self.metric.startswith("eval"):
            if len(steps := sorted({t.step for t in counted})) > 1:
                return f"they have {steps[0]} to {steps[-1]} steps, and more steps alone make a {self.metric} better"
            if len({t.settings[BEGINNING] for t in counted}) > 1:
                return "some of them continue a trained adapter, and others begin a new one"
        ranked = [self.configurations[i] for i in self.best_first]
        tied = [_label(c) for c in ranked if short(self.mean(c)) == short(self.mean(ranked[0]))]  # as far as is printed
        lack = any(t.left_out is None and self.metric not in t.quality for c in self.configurations for t in c)
        if lack and len(ranked) == 1:
            return f"only {tied[0]} has the {self.metric}"
        return f"{first_of(tied, 3)} have the same {self.metric}" if len(tied) > 1 else None

    def values(self, configuration: Sequence[Trial]) -> list[float]:
        """The metric of its runs, the finite ones."""
        found = (trial.quality.get(self.metric, math.nan) for trial in configuration)
        return [value for value in found if math.isfinite(value)]

    def mean(self, configuration: Sequence[Trial]) -> float | None:
        """Of ``values``; None without any, or where it is not ranked."""
        values = self.values(configuration)
        return statistics.fmean(values) if values and configuration[0].left_out is None else None

    def behind(self, configuration: Sequence[Trial]) -> tuple[float, float] | None:
        """How far it lies behind the best one, as a share of the best's metric: the mean over their common seeds, and
        how far the interval reaches on either side, each end with a confidence of 95 %. Two runs with one seed see the
        same batches, so that most of the noise cancels. None for the best one itself, and of fewer than two seeds."""
        if self.best is None or configuration[0].left_out or configuration is (best := self.configurations[self.best]):
            return None
        ours, theirs = (
            {t.seed: t.quality[self.metric] for t in trials if t.seed is not None and self.values([t])}
            for trials in (configuration, best)
        )
        sign = 1.0 if self.higher_is_better else -1.0
        gaps = [sign * (value - ours[seed]) for seed, value in theirs.items() if seed in ours]
        if len(gaps) < 2:
            return None
        size = abs(statistics.fmean(theirs.values())) or 1.0  # a metric of 0 has no shares
        reach = T_95[min(len(gaps) - 1, len(T_95)) - 1] * statistics.stdev(gaps) / math.sqrt(len(gaps))
        return statistics.fmean(gaps) / size, reach / size

    def differences(self) -> dict[str, dict[str, list[Trial]]]:
        """Every setting but r, α, s and lr that differs, of those known of Trainers and of loops: who has which."""
        trials = [trial for configuration in self.configurations for trial in configuration]
        out, kinds = {}, {"optim" in trial.settings for trial in trials}
        for name in sorted({name for trial in trials for name in trial.settings}):
            if {"optim" in trial.settings for trial in trials if name in trial.settings} != kinds:
                continue
            by_value: dict[str, list[Trial]] = defaultdict(list)
            for trial in trials:
                by_value[trial.settings.get(name, _NOT_SET)].append(trial)
            if len(by_value) > 1:
                out[name] = dict(by_value)
        return out

    def to_dict(self) -> dict[str, Any]:
        return {
            "version": COMPARISON_VERSION,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "best": self.best,
            "configurations": [
                {
                    "r": trials[0].r,
                    "alpha": trials[0].alpha,
                    "scale": trials[0].scale,
                    "learning_rate": trials[0].lr,
                    "mean": self.mean(trials),
                    "behind": self.behind(trials),
                    "runs": [asdict(trial) for trial in trials],
                }
                for trials in self.configurations
            ],
            "differences": {
                name: [{"value": value, "runs": [trial.name for trial in having]} for value, having in found.items()]
                for name, found in self.differences().items()
            },
            "notes": self.notes,
            "unreadable": self.unreadable,
        }


def compare(paths: Iterable[Path | str], metric: str | None = None) -> Comparison:
    """Compares the runs at ``paths``, each whatever ``lora-watch check`` takes.

    Args:
        paths: runs, or folders of runs.
        metric: name of an evaluation's number. Default: the first of ``QUALITIES`` that every run that counts has,
            else the training loss at the end. Higher is better unless the name ends with ``loss``, as in the Trainer.

    Raises:
        ValueError: no run has ``metric``; the text lists those that there are.
    """
    unreadable: list[str] = []
    runs = {run.path.resolve(): run for run in read_runs(paths, unreadable)}  # one that is named twice counts once
    trials, apart = list[Trial](), list[str]()
    for name, run in zip(short_names(list(runs)), runs.values()):
        try:
            trials.append(trial_of(name, run))
            apart += [f"{name} was trained with these rules muted: {', '.join(run.muted)}."] * bool(run.muted)
        except MISFITS as error:
            unreadable.append(f"{run.name} does not hold what it should ({type(error).__name__}: {clean(error)})")
    counted = [trial for trial in trials if trial.left_out is None]
    best = (name for name in QUALITIES if counted and all(name in trial.quality for trial in counted))
    chosen = metric or next(best, FINAL_LOSS)
    there = sorted({name for trial in trials for name in trial.quality})
    if metric is not None and trials and metric not in there:
        raise ValueError(f"no run has the metric {metric!r}; there are: {', '.join(there) or 'none'}")
    groups: dict[Any, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.configuration].append(trial)
    rows = list[list[Trial]]()
    for trials_alike in groups.values():
        found = {(trial.seed, short(trial.quality.get(chosen))) for trial in trials_alike}  # a run made again is alike
        alone = len({seed for seed, _ in found}) < len(found)
        rows += [[trial] for trial in trials_alike] if alone else [trials_alike]
        if alone:
            names = first_of([trial.name for trial in trials_alike], 3)
            apart.append(
                f"{names} have the same settings and seed, as far as is known, and another {chosen}: no mean is made."
            )
    order = sorted(rows, key=lambda c: [-1 if v is None else v for v in (c[0].r, c[0].scale, c[0].lr)])
    compared = Comparison(chosen, order, [*_notes(trials, chosen, metric), *apart], unreadable)
    if compared.why_no_best:
        compared.notes.append(f"No run is called the best: {compared.why_no_best}.")
    return compared


def text(comparison: Comparison) -> str:
    """For a terminal or a build log: the table, the best of it, and the other settings that differ."""
    found, blocks = comparison.configurations, list[list[str]]()
    if found:
        better = "higher" if comparison.higher_is_better else "lower"
        runs = count(sum(map(len, found)), "run")
        head = f"{runs} in {count(len(found), 'configuration')}, by {comparison.metric} ({better} is better)"
        blocks.append([head, "", *_table(comparison)])
        if comparison.best is not None and len(found) > 1:
            best = found[comparison.best]
            value = mean_and_spread(comparison.values(best))
            blocks.append([f"Best: {_label(best)}, {comparison.metric} {value}"])
    if different := comparison.differences():
        blocks.append(["What else differs:"])
        for name in sorted(different):
            for value, having in different[name].items():
                if value == _NOT_SET:
                    continue  # by those that are not named
                names = first_of([middle(trial.name, LONGEST_NAME) for trial in having], 3)
                blocks[-1].append(middle(f"  {name}: {middle(value, 40)} ({names})", WIDTH))
    if comparison.notes:
        blocks.append([f"note: {note}" for note in comparison.notes])
    blocks += [[f"UNREADABLE {reason}"] for reason in comparison.unreadable]
    return "\n\n".join("\n".join(block) for block in blocks)


def _table(comparison: Comparison) -> list[str]:
    rows, ranked = [], comparison.best_first
    for place in (*ranked, *(i for i in range(len(comparison.configurations)) if i not in ranked)):
        first = (configuration := comparison.configurations[place])[0]
        said = in_numbers(sum((Counter(trial.alerts) for trial in configuration), Counter[str]()))
        numbers = [short(value) for value in (first.r, first.alpha, first.scale, first.lr)]
        own = numbers[-1] if first.own_lr is None else short(first.own_lr)
        numbers[-1] += f" ({own} set)" * (own != numbers[-1])
        value, gap = mean_and_spread(comparison.values(configuration)), comparison.behind(configuration)
        far = "" if gap is None else f"{100 * gap[0]:.2g} ± {100 * gap[1]:.2g} %"
        rows.append([_label(configuration), *numbers, str(first.step), value, far, said])
    behind = "behind" if any(row[-2] for row in rows) else ""
    headings = ["run", "r", "alpha", "scale", "lr", "steps", comparison.metric, behind, "alerts"]
    lines = table(headings, rows, left=(0, len(headings) - 1))
    return [*lines[: 1 + len(ranked)], *["Not ranked:"] * (len(ranked) < len(rows)), *lines[1 + len(ranked) :]]


def _label(configuration: Sequence[Trial]) -> str:
    more = "" if len(configuration) == 1 else f" … ({len(configuration)})"
    return middle(configuration[0].name, LONGEST_NAME - len(more)) + more


def _notes(trials: Sequence[Trial], chosen: str, asked: str | None) -> Iterator[str]:
    yield from (f"{trial.name} is not ranked: {trial.left_out}." for trial in trials if trial.left_out is not None)
    counted = [trial for trial in trials if trial.left_out is None]
    without = (t.name for t in counted if not math.isfinite(t.quality.get(chosen, math.nan)))
    yield from (f"{name} has no {chosen} that is a number." for name in without)
    if asked is None and chosen == FINAL_LOSS and counted:
        common = [name for name in eval_losses(counted[0].quality) if all(name in t.quality for t in counted)]
        lack = [f"{t.name} has no" for t in counted if EVAL_LOSS not in t.quality]
        lacks = lack[0] if len(lack) < len(counted) else "no run has an"
        evaluate = "Evaluate each run at its end: trainer.evaluate(), in a loop of your own monitor.evaluated(…)"
        better = f"Compare --metric {' or '.join(common)}" if common else evaluate
        yield (
            f"{lacks} {EVAL_LOSS}, so {FINAL_LOSS} is compared, the mean training loss of the last tenth. It "
            f"shows less. {better}."
        )


def trial_of(name: str, run: FinishedRun) -> Trial:
    of_each = {name: [getattr(a, name) for a in run.adapters.values()] for name in ("r", "alpha", "scale")}
    known = {name: [value for value in values if value is not None] for name, values in of_each.items()}
    return Trial(
        name=name,
        **{name: statistics.mode(values or [None]) for name, values in known.items()},
        lr=run.rates[0],
        own_lr=run.rates[1],
        seed=None if (seed := run.config.get("seed")) is None else int(seed),
        settings=_settings(run),
        quality={
            **run.evaluation,
            **({} if run.reward_ends is None else {REWARD: run.reward_ends[1]}),
            **({} if run.final_loss is None else {FINAL_LOSS: run.final_loss}),
        },
        step=run.step,
        alerts=tally(alert for alert in run.findings() if alert.rule != STOPPED_EARLY),
        left_out=_why_not(run),
    )


def _why_not(run: FinishedRun) -> str | None:
    if run.waiting:
        return run.message
    standing = [alert for alert in run.findings() if run.ended or alert.rule not in OF_FINISHED_RUNS]
    # LW901 alone fails a run, but of one that broke off its end says more.
    failing = [a for a in standing if a.severity >= Severity.ERROR or (run.ended and a.rule == MONITOR_FAILURE)]
    failing = failing or standing * (run.verdict == "failed")  # by its WARNINGs
    said = next((f": {alert.message} ({alert.rule})" for alert in failing), "")
    if not run.ended:
        return f"{run.ending} at step {run.step}{said}"
    if said:
        return f"check fails it{said}"
    if any((a.rule, a.kind) == ("LW314", "rate") for a in standing):
        return "it was resumed without the recovery's rate, so that it was trained at two (LW314)"
    large = any(a.rule == "LW102" and a.closed_step is None for a in standing)
    if large and (run.config.get("preference") or run.reward_ends is not None):  # else an evaluation says more
        return "its adapters stayed too large (LW102), and its reward or margin may rise while the answers get worse"
    return None


def _settings(run: FinishedRun) -> dict[str, str]:
    """Every setting of ``run`` that is not one of the columns, as text. One adapter's go by their own names."""
    found: dict[str, Any] = {key: value for key, value in run.config.items() if key not in ("lora", "max_steps")}
    found["steps planned"] = run.max_steps
    if "optim" not in found:  # of a Trainer's arguments
        found["optimizer"] = run.optimizer
    total, trained = found.get("parameters"), found.get("trainable_parameters")
    if isinstance(total, int) and isinstance(trained, int):
        found["frozen parameters"] = total - trained
    lora = run.config.get("lora") or {}
    for name, values in lora.items():
        prefix = "" if len(lora) == 1 else f"{name}."
        if isinstance(values, Mapping):
            found |= {prefix + key: value for key, value in values.items() if key not in _NOT_A_SETTING}
    found["adapters"] = len(run.adapters)
    found[BEGINNING] = "trained before, or not at zero" if run.nonzero_start else "new"
    found["recovered"] = "yes" if any(alert.recovered_from for alert in run.alerts) else "no"
    return {key: str(value) for key, value in found.items() if key not in _NOT_A_SETTING and value is not None}
