"""Runs of GRPO, RLOO and DPO with rewards that can be computed: the policies of the corpus.

    python -m benchmarks.corpus.policies              trains what is missing; about 15 s of one core a run
    python -m benchmarks.corpus.policies --pack       puts the new traces into traces/policies.zip
    python -m benchmarks.corpus.policies --score      prints their part of SCORES.md; trains nothing

A policy's quality is its reward on prompts that it was not trained on. A run is labelled by the share of the best
reward's rise in its family that it reaches, as ``labels.py`` labels supervised runs by their loss.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import itertools
import json
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from transformers import PrinterCallback, set_seed

from benchmarks.corpus.generate import NEW, TRACES, RecordingCallback, train_missing
from benchmarks.corpus.labels import BAD, GOOD
from benchmarks.corpus.markdown import share, table
from benchmarks.corpus.models import smollm2
from benchmarks.corpus.replay import first, judge
from benchmarks.corpus.traces import Trace, load, save
from lora_watch.base.alerts import Alert, Severity
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.texts import python_manual
from lora_watch.measurement.signals.policy import NAMES

PACKED = TRACES / "policies.zip"
PROMPTS, TOKENS, SAMPLES = 64, 8, 4
KEPT_PROMPTS = Path(__file__).with_name("prompts.json")
"""By seed, of Python 3.11.7."""
"""Prompts trained on, and as many held out; tokens of a completion; completions of each held-out prompt."""
REWARDS: dict[str, Callable[[str], float]] = {
    "letter": lambda text: 4.0 * text.count("e") / max(len(text), 1),
    "commas": lambda text: min(len(re.findall(r"\b[a-z]{2,}, ", text)), 4) / 4.0,
    "length": lambda text: max(1.0 - abs(len(text.strip()) - 20) / 20.0, -1.0),
    "words": lambda text: len({word for word in re.findall(r"\b[a-z]+\b", text) if 2 <= len(word) <= 4}) / 5.0,
    "equal": lambda text: 1.0,
}
"""Of one completion. The last one teaches nothing."""
BATCH = 16
"""Completions of a step."""
PLAUSIBLE = 5.0
"""Nats that a token of the base model's own costs, on average. A completion that costs more counts less."""
SEEN = 1, 2, 3, 4, 5
"""Seeds on which no threshold was chosen, but whose runs were looked at."""
FRESH = 6, 7, 8
"""Their runs came after everything; those of the last one were made for three of its four families."""
CELLS = (
    *((8, 3e-5), (8, 5e-3), (8, 5e-2), (8, 2e-3), (64, 1e-3), (1, 5e-3), (8, 3e-4)),
    *((64, 2e-2), (1, 0.3), (64, 3e-5), (8, 0.3), (1, 3e-4), (8, 1e-2), (64, 5e-3)),
)
"""Rank and learning rate."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """One run."""

    trainer: str = "GRPO"
    """``GRPO``, ``RLOO`` or ``DPO``."""
    base: str = "tiny"
    """``tiny`` or ``smollm2``."""
    reward: str = "letter"
    """One of ``REWARDS``. Of eight completions of the base model's own, DPO prefers the best to the worst."""
    r: int = 8
    lr: float = 2e-3
    beta: float = 0.0
    """Weight of the KL divergence from the reference. DPO has 0.1."""
    steps: int = 60
    seed: int = 0
    """Rules were tuned on seed 0 alone, with two of the rewards."""

    @property
    def name(self) -> str:
        beta = f"_beta{self.beta:g}" * bool(self.beta)
        return f"{self.trainer}_{self.base}_{self.reward}_r{self.r}_lr{self.lr:g}{beta}_{self.steps}_seed{self.seed}"

    @property
    def family(self) -> tuple[object, ...]:
        """Runs that compete for the best reward."""
        return self.trainer, self.base, self.reward, self.steps, self.seed


def plan() -> list[Policy]:
    """Every run. Any beginning has rates from wasted to ruinous of every trainer."""
    families = [
        Policy(reward="letter"),
        Policy(reward="length", seed=1),
        Policy("DPO", reward="letter", steps=50),
        Policy("DPO", reward="length", steps=50, seed=1),
        Policy(reward="words", beta=0.04),
        Policy(reward="commas", beta=0.04, seed=1),
        Policy("RLOO", reward="words", beta=0.05, seed=2),
        Policy("DPO", reward="words", steps=50, seed=2),
    ]
    turns = [[dataclasses.replace(one, r=r, lr=lr) for one in families] for r, lr in CELLS]
    equal = [Policy(reward="equal", lr=lr, seed=seed) for seed, lr in ((0, 2e-3), (1, 2e-3), (0, 1e-2), (1, 1e-2))]
    larger = [Policy(base="smollm2", lr=lr, steps=24, seed=1) for lr in (1e-5, 3e-4, 1e-3, 3e-2)]
    return [
        *itertools.chain(*turns[:7]),
        *equal,
        *larger,
        *itertools.chain(*turns[7:]),
        *itertools.chain(*map(later, (3, 4, 5, *FRESH))),
    ]


def later(seed: int) -> list[Policy]:
    """Runs of a seed that came after all of the plan before."""
    families = [Policy(reward="letter"), Policy(reward="length"), Policy(reward="commas", beta=0.04)]
    families += [Policy("RLOO", reward="words", beta=0.05)]
    cells = [*CELLS[:7], (8, 1e-2)]
    return [dataclasses.replace(one, r=r, lr=lr, seed=seed) for r, lr in cells for one in families]


@torch.no_grad()
def rewards(policy: Policy, asked: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Of a batch of completions, each after its prompt: what ``REWARDS`` says, times how plausible it is to the base
    model, shared by equal ones. A policy that has forgotten its language, or gives one answer to all, is worth nothing:
    as with any reward that takes more than a pattern."""
    if policy.reward == "equal":
        return [1.0] * len(answers)
    judge, tokenizer = judge_of(policy.base)
    beginnings = [len(ids) for ids in tokenizer(list(asked), add_special_tokens=False)["input_ids"]]
    both = [prompt + answer for prompt, answer in zip(asked, answers)]
    batch = tokenizer(both, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    ids, there = batch["input_ids"], batch["attention_mask"][:, 1:].bool()
    likely = judge(input_ids=ids, attention_mask=batch["attention_mask"]).logits[:, :-1].log_softmax(-1)
    likely = likely.gather(-1, ids[:, 1:, None])[..., 0]
    answered = there & (torch.arange(ids.shape[1] - 1) >= torch.tensor(beginnings)[:, None] - 1)
    mean = (likely * answered).sum(1) / answered.sum(1).clamp(min=1)
    plausible = (mean + PLAUSIBLE).exp().clamp(max=1.0).tolist()
    return [REWARDS[policy.reward](answer) * share / answers.count(answer) for answer, share in zip(answers, plausible)]


@functools.cache
def judge_of(base: str) -> tuple[Any, Any]:
    """The frozen base model, and its tokenizer."""
    model, tokenizer = pretrained(base)
    return model.eval(), tokenizer


@functools.cache
def prompts(seed: int) -> tuple[list[str], list[str]]:
    """Beginnings of sentences of the Python manual: to train on, and held out. From a file for the seeds of the corpus,
    for the manual differs between versions of Python."""
    kept = json.loads(KEPT_PROMPTS.read_text(encoding="utf-8")).get(str(seed))
    some = kept or draw_prompts(seed)
    return some[:PROMPTS], some[PROMPTS:]


def draw_prompts(seed: int) -> list[str]:
    text = " ".join(" ".join(python_manual()).split())
    starts = [m.start() for m in re.finditer(r"(?<=\. )[A-Z][a-z]+ [a-z]+ [a-z]+ [a-z]+ ", text)]
    chosen = np.random.default_rng(seed).permutation(starts)[: 2 * PROMPTS]
    return [" ".join(text[at : at + 60].split()[:4]) for at in chosen.tolist()]


def pretrained(base: str) -> tuple[Any, Any]:
    model, tokenizer = tiny_llama() if base == "tiny" else smollm2()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return model, tokenizer


@torch.no_grad()
def completions(model: Any, tokenizer: Any, some: list[str], each: int) -> list[list[str]]:
    """``each`` samples at temperature 1 of every prompt."""
    model.eval()
    batch = tokenizer(some, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    batch.pop("token_type_ids", None)
    pad = tokenizer.pad_token_id
    limits: dict[str, Any] = {"max_new_tokens": TOKENS, "num_return_sequences": each, "pad_token_id": pad}
    out = model.generate(**batch, do_sample=True, top_k=0, **limits)
    texts = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return [texts[i : i + each] for i in range(0, len(texts), each)]


def mean_reward(model: Any, tokenizer: Any, policy: Policy) -> float:
    """Of samples after held-out prompts; NaN of weights that no token can be drawn from."""
    torch.manual_seed(1000 + policy.seed)
    asked = prompts(policy.seed)[1]
    try:
        samples = completions(model, tokenizer, asked, SAMPLES)
    except RuntimeError:  # "probability tensor contains either inf, nan"
        return math.nan
    pairs = [(prompt, text) for i in range(SAMPLES) for prompt, some in zip(asked, samples) for text in some[i : i + 1]]
    batches = [pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH)]
    return float(np.mean([rewards(policy, *zip(*batch)) for batch in batches]))


def preferences(policy: Policy, base: Any, tokenizer: Any, some: list[str]) -> list[dict[str, str]]:
    """The best and the worst of eight completions of each prompt."""
    rows = []
    for prompt, answers in zip(some, completions(base, tokenizer, some, 8)):
        worth = rewards(policy, [prompt] * len(answers), answers)
        best, worst = max(range(8), key=worth.__getitem__), min(range(8), key=worth.__getitem__)
        rows.append({"prompt": prompt, "chosen": answers[best], "rejected": answers[worst]})
    return rows


def build(
    policy: Policy, folder: str, callbacks: list[Any], kind: Any = None, model: Any = None, **arguments: Any
) -> Any:
    """TRL's trainer of ``policy``, or one of another ``kind``. ``model``: one with adapters, instead of new ones.
    ``arguments``: further settings of its configuration."""
    import trl
    from datasets import Dataset  # TRL brings it

    trained_on, held_out = prompts(policy.seed)
    set_seed(policy.seed)
    base, tokenizer = pretrained(policy.base)
    settings: dict[str, Any] = {
        "output_dir": folder,
        "max_steps": policy.steps,
        "learning_rate": policy.lr,
        "per_device_train_batch_size": 8 if policy.trainer == "DPO" or policy.base == "smollm2" else BATCH,
        "seed": policy.seed,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
    }
    more: dict[str, Any] = {}
    if policy.trainer == "DPO":
        rows = preferences(policy, base, tokenizer, trained_on)
        if "eval_strategy" in arguments:
            more = {"eval_dataset": Dataset.from_list(preferences(policy, base, tokenizer, held_out))}
    else:
        rows = [{"prompt": prompt} for prompt in trained_on]
        settings |= {"num_generations": 4, "max_completion_length": TOKENS, "beta": policy.beta}

        def of_all(prompts: list[str], completions: list[str], **rest: Any) -> list[float]:
            return rewards(policy, prompts, completions)

        more = {"reward_funcs": of_all}
    lora = LoraConfig(r=policy.r, lora_alpha=2 * policy.r, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = (kind or getattr(trl, f"{policy.trainer}Trainer"))(
        model=base if model is None else model,
        args=getattr(trl, f"{policy.trainer}Config")(**settings | arguments),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        peft_config=lora if model is None else None,
        callbacks=callbacks,
        **more,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def trace(policy: Policy) -> Trace:
    """Train ``policy`` under the recording callback, which measures as often as a live run's. DPO is evaluated every
    ten steps, on pairs of its own."""
    callback = RecordingCallback(full_every=16)
    evaluated = {"eval_strategy": "steps", "eval_steps": 10} if policy.trainer == "DPO" else {}
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(policy, folder, [callback], **evaluated)
        tokenizer = trainer.processing_class
        before = mean_reward(trainer.model, tokenizer, policy)
        set_seed(policy.seed)
        try:
            trainer.train()
        except RuntimeError as error:  # TRL draws from probabilities that are NaN
            print(f"{policy.name}: {error}")
        after = mean_reward(trainer.model, tokenizer, policy)
    history = trainer.state.log_history
    logged = {row["step"]: row["grad_norm"] for row in history if "grad_norm" in row}
    grad_norm = np.array([float(logged.get(step, math.nan)) for step in range(1, policy.steps + 1)])
    rows = [read_of(row) for row in history if {"loss", "eval_loss"} & row.keys()]
    return Trace(dataclasses.asdict(policy), before, after, grad_norm, callback.recorder.records, rows)


def read_of(row: Mapping[str, Any]) -> dict[str, float]:
    """What a replay reads of a Trainer's row."""
    used = {"step", "loss", "eval_loss", "eval_runtime", "eval_samples_per_second", *itertools.chain(*NAMES.values())}
    return {name: value for name, value in row.items() if name in used and isinstance(value, (int, float))}


def files() -> Iterator[Path]:
    yield from (file for file in (PACKED, *sorted((NEW / "policies").glob("*.zip"))) if file.exists())


def load_all() -> dict[Policy, Trace]:
    found = {name: trace for file in files() for name, trace in load(file).items()}
    return {policy: found[policy.name] for policy in plan() if policy.name in found}


HEADING = "## Policies"
LABELS = ("good", "fair", "wasted", "collapsed", "unlabelled")
"""Shares of the best gain of the family, as in ``labels.py``."""
NOISE = 0.05
"""Two standard errors of the difference of two mean rewards, about."""


def label(traces: Mapping[Policy, Trace]) -> dict[Policy, str]:
    """One of ``LABELS`` for each run, by the reward on held-out prompts. In a family whose best run has not risen by
    more than ``NOISE``, and with DPO, a run can be told to have collapsed, and no more."""
    found = {}
    for policy, trace in traces.items():
        family = [other for other in traces if other.family == policy.family]
        top = max(family, key=lambda other: -math.inf if math.isnan(traces[other].after) else traces[other].after)
        gain, best = trace.after - trace.before, traces[top].after - traces[top].before
        portion = gain / best if best > NOISE and policy.trainer != "DPO" else math.nan
        stronger = policy.lr * math.sqrt(policy.r) > top.lr * math.sqrt(top.r)
        if not gain >= -NOISE or (portion < BAD and stronger):
            found[policy] = "collapsed"
        elif math.isnan(portion):
            found[policy] = "unlabelled"
        else:
            found[policy] = "good" if portion >= GOOD else "fair" if portion >= BAD else "wasted"
    return found


def in_tens(rows: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """A row every ten steps, as GRPO logs by default: the means of ten rows. Evaluations stay."""
    steps, evaluations = ([row for row in rows if name in row] for name in ("loss", "eval_loss"))
    tens = [steps[i : i + 10] for i in range(0, len(steps) - 9, 10)]
    means = [{name: float(np.mean([row.get(name, math.nan) for row in ten])) for name in ten[0]} for ten in tens]
    return [*({**mean, "step": ten[-1]["step"]} for mean, ten in zip(means, tens)), *map(dict, evaluations)]


def dips(trace: Trace) -> bool:
    """The mean of some five rows lies below the reward before the training by more than ``NOISE``."""
    means = np.convolve([row["reward"] for row in trace.rows if "reward" in row], np.full(5, 0.2), "valid")
    return bool((means < trace.before - NOISE).any())


def report() -> str:
    """How many runs of each label are named, tuning and held-out apart."""
    traces = {policy: trace for policy, trace in load_all().items() if policy.reward != "equal"}
    labels, rows = label(traces), []
    each = {policy: judge(trace) for policy, trace in traces.items()}
    ten = {policy: judge(dataclasses.replace(trace, rows=in_tens(trace.rows))) for policy, trace in traces.items()}
    seeds = {"tuning": (0,), "seen": SEEN, "fresh": FRESH}
    logged, kinds = {"a row each step": each, "a row each ten": ten}, (("GRPO", "RLOO"), ("DPO",))
    for words, trainers, name in itertools.product(logged, kinds, seeds):
        if not (of := [p for p in traces if p.trainer in trainers and p.seed in seeds[name]]):
            continue
        by_label = [[p for p in of if labels[p] == name] for name in ("good", *LABELS)]
        least = [Severity.ERROR] + [Severity.WARNING] * len(LABELS)
        cells = [_named(some, logged[words], at) for some, at in zip(by_label, least)]
        rows.append([", ".join(trainers), name, words, *cells])
    made = collections.Counter(policy.trainer for policy in traces)
    untuned = [policy for policy in traces if policy.seed and policy.trainer != "DPO"]
    good = [policy for policy in untuned if labels[policy] == "good"]
    dipped, steady = ([p for p in good if dips(traces[p]) == dip] for dip in (True, False))
    strong = collections.Counter(labels[policy] for policy in untuned if policy.lr == 5e-2)
    return "\n\n".join(
        [
            f"{', '.join(f'{n} runs of {name}' for name, n in made.items())}: the packaged Llama, four rewards, "
            "completions of 8 tokens, 50 or 60 steps, ranks 1 to 64 (`policies.py`). A run is labelled by its reward "
            "after held-out prompts: good from three quarters of the best gain of its family on, collapsed where the "
            "reward fell below its start or stays below half of that gain at a stronger rate. DPO on 64 pairs did not "
            "raise the reward by more than its noise at any rate, so that only collapses can be told there; it is "
            "evaluated every ten steps. The table has the runs with a WARNING or worse. Thresholds were chosen on the "
            "tuning seed. Three things came after runs of the seeds 1 to 4 had been seen: LW206's word on rewards (one "
            "was missed), that LW102 waits for a fall to last (two had learned it again), that LW104 waits for half of "
            "the schedule where the adapters become nearly large enough (three had learned later). Two more were tried "
            "on seeds 0 to 5 and dropped. A start of more rows spared two good runs, warned of another and missed a "
            "wasted and two collapsed ones. An LW206 that is silent from one standard error on spared one good run and "
            "missed four wasted and a collapsed one. The fresh runs came after everything but LW206's look at a run's "
            "last row, which misses a wasted and a collapsed one more, and LW104's margin of 0.1, below which the six "
            "runs of DPO end that it names, at 0.02 to 0.04. Six more with less than half of a useful first step reach "
            "0.15 and more.",
            table(["trainer", "seeds", "logged", "good: ERROR", *LABELS], rows),
            f"Of the good runs of GRPO and RLOO that were not tuned on {len(dipped)} lost more than {NOISE} of their "
            f"reward for five steps: a WARNING in {_named(dipped, each)}. Of the others it was {_named(steady, each)}. "
            f"At the learning rate 0.05 {strong['collapsed']} of {strong.total()} runs collapsed, and {strong['good']} "
            "ended good.",
        ]
    )


def _named(some: Sequence[Policy], said: Mapping[Policy, Sequence[Alert]], least: Severity = Severity.WARNING) -> str:
    return share(sum(first(said[policy], least) is not None for policy in some), len(some))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--score", action="store_true", help="print their part of SCORES.md")
    parser.add_argument(
        "--pack", action="store_true", help="put the new traces into traces/policies.zip, and keep their prompts"
    )
    wanted = parser.parse_args()
    if wanted.score:
        return print(f"{HEADING}\n\n{report()}")
    if wanted.pack:
        drawn = {str(seed): [*itertools.chain(*prompts(seed))] for seed in sorted({policy.seed for policy in plan()})}
        KEPT_PROMPTS.write_text(json.dumps(drawn, indent=0, ensure_ascii=False), encoding="utf-8")
        there = [*files()]
        save(PACKED, {name: trace for file in there for name, trace in load(file).items()})
        for file in there:
            if file != PACKED:
                file.unlink()
        return
    torch.set_num_threads(1)
    train_missing(list(plan()), trace, files(), NEW / "policies")


if __name__ == "__main__":
    main()
