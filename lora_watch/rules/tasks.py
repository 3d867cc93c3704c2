"""What rank a kind of task asks for, and which kind a few words describe."""

from __future__ import annotations

import re
from dataclasses import dataclass

SOURCES = {
    "lora": "Hu et al. 2021, arXiv:2106.09685",
    "intrinsic": "Aghajanyan et al. 2021, arXiv:2012.13255",
    "rslora": "Kalajdzievski 2023, arXiv:2312.03732",
    "adalora": "Zhang et al. 2023, arXiv:2303.10512",
    "dora": "Liu et al. 2024, arXiv:2402.09353",
    "biderman": "Biderman et al. 2024, arXiv:2405.09673",
}
"""Papers behind the advice."""


@dataclass(frozen=True)
class Task:
    """A kind of fine-tuning, and the ranks that are worth trying first for it."""

    name: str
    ranks: tuple[int, int]
    """Lowest and highest of the usual range. A place to start a search from, not a limit."""
    why: str
    source: str
    words: str
    """What people call it: beginnings of words, in lower case, with commas between; the first three make good examples.
    """


TASKS = (
    Task(
        "continued-pretraining",
        (64, 256),
        "new knowledge needs room: full fine-tuning changes weights at 10 to 100 times the rank of a usual adapter, "
        "and LoRA stays behind it here; weigh full fine-tuning",
        SOURCES["biderman"],
        "pretrain, new language, new knowledge, pre train, continued, continual, cpt, knowledge, facts",
    ),
    Task(
        "instruction-tuning",
        (16, 64),
        "many different behaviours are steered at once",
        f"rule of thumb; {SOURCES['biderman']} compares such ranks",
        "chat, assistant, instruct, sft, dialog, conversation, alignment, preference, dpo, orpo, kto, "
        "reason, math, question, q&a, qa, answer, reply, replies, respon, customer, support, email, persona, "
        "character, role play, roleplay, tool, function call, agent, rag, json, multi task, multitask",
    ),
    Task(
        "classification",
        (4, 8),
        "its intrinsic dimension is very low: the pretrained model knows the structure already",
        SOURCES["intrinsic"],
        "sentiment, spam, label, classif, categor, ner, entit, regression, rerank, retriev, embedding, tagging, "
        "intent, detect, similar, entail, nli, toxic, moderat, filter, topic, emotion, fraud",
    ),
    Task(
        "domain-adaptation",
        (8, 16),
        "vocabulary and style move a moderate way",
        f"rule of thumb; {SOURCES['lora']} found lower ranks enough on most of its tasks",
        "medical, legal, code, domain, style, tone, clinical, biolog, chemi, law, financ, scientific, coding, program, "
        "python, sql, translat, summar, adapt, report, document, writ, rewrit, story, stories, poem, poet, "
        "novel, caption, transcri, speech",
    ),
)
"""In the order in which they win where words fit several: the more demanding and the more definite first."""


def find_task(words: str) -> tuple[Task, str | None]:
    """The task that ``words`` mean, and a sentence on how they were read; None where they are its name.

    Raises ValueError, which lists the names, for words that fit nothing.
    """
    plain = " ".join(words.lower().replace("_", " ").replace("-", " ").split())
    for task in TASKS:
        if plain == task.name.replace("-", " "):
            return task, None
    matched = [(task, hit) for task in TASKS if (hit := _hit(task, plain))]
    if not matched:
        known = ", ".join(f"{task.name} ({', '.join(task.words.split(', ')[:3])} …)" for task in TASKS)
        raise ValueError(
            f"task {words!r} is none that is known. Say which of these is nearest, or name no task: {known}"
        )
    task, hit = matched[0]
    others = ", ".join(other.name for other, _ in matched[1:])
    also = f"; it could be read as {others} too" if others else ""
    return task, f"task {words!r} is read as {task.name}, for {hit!r}{also}"


def _hit(task: Task, plain: str) -> str | None:
    for word in task.words.split(", "):
        end = r"\b" if len(word) <= 3 else ""  # "ner" is a word, and the beginning of others
        if re.search(rf"\b{re.escape(word)}{end}", plain):
            return word
    return None
