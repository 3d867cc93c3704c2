"""A judgement as JUnit XML, as Jenkins, GitLab and others show test results.

A run is a test suite, a rule that judged it a test case: passed, or failed with the alert as its text. Servers know a
case by ``classname`` and ``name``: a rule is one case of one name, whatever it found. What is below the threshold, or
has been recovered from, passes, with the alert as its output. A rule that the run did not ask, that is switched off, or
that could not judge the run or not all of it, is skipped.
"""

from dataclasses import replace
from xml.etree import ElementTree

from lora_watch.base.alerts import Alert
from lora_watch.gate.baseline import RULES
from lora_watch.gate.judging import Judged, Judgement
from lora_watch.rules import ReplicasDiffer, RewardNotRising, RewardsAllEqual, Rule, StaleRollouts, catalogue
from lora_watch.rules.policy import OF_NO_RULE, RECOVERED, passes
from lora_watch.runs.run import FinishedRun


def junit(judgement: Judgement) -> bytes:
    """A whole document, UTF-8, in the form of the schema ``junit-10.xsd`` of Jenkins' xUnit plugin."""
    root = ElementTree.Element("testsuites", name="lora_watch")
    for judged in judgement.runs:
        _suite(root, judged, judgement)
    if judgement.unreadable:
        suite = ElementTree.SubElement(root, "testsuite", name="lora_watch: not judged")
        for number, reason in enumerate(judgement.unreadable, 1):
            case = ElementTree.SubElement(suite, "testcase", classname="lora_watch", name=f"unreadable {number}")
            ElementTree.SubElement(case, "error", type="unreadable", message=reason).text = reason
    for each in (root, *root):
        for count, found in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            each.set(count, str(sum(1 for _ in each.iter(found))))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _suite(root: ElementTree.Element, judged: Judged, judgement: Judgement) -> None:
    run = judged.run
    suite = ElementTree.SubElement(root, "testsuite", name=run.name)
    if run.updated:
        suite.set("timestamp", run.updated)
    fired: dict[str, list[Alert]] = {}
    since = f"The run has recovered from it ({RECOVERED})."
    healed = (replace(a, details=f"{a.details} {since}".lstrip()) for a in run.alerts if a.recovered_from)
    for alert in (*judged.findings, *healed):
        fired.setdefault(alert.rule, []).append(alert)
    names = {rule: alerts[0].name for rule, alerts in fired.items()} | run.rules
    hidden = {RECOVERED} if judged.compared else {RECOVERED, *RULES}
    names |= {id: name for id, name in OF_NO_RULE.items() if id in fired or id not in hidden}
    known = {rule.id: rule for rule in catalogue()}
    fails = bool(judgement.failures(judged))
    told = [] if run.next_run is None else [f"Next run: {run.next_run}"]  # under the first that fails, once a run
    for rule, name in sorted((names | run.not_asked).items()):
        case = ElementTree.SubElement(suite, "testcase", classname=run.name, name=f"{rule} {name}")
        alerts = fired.get(rule, [])
        report = "\n\n".join(str(replace(alert, next_run=None) if fails else alert) for alert in alerts)
        if any(judgement.counts(alert) for alert in alerts if not alert.recovered_from):
            failure = ElementTree.SubElement(case, "failure", type=alerts[0].severity.name, message=alerts[0].message)
            failure.text = "\n\n".join([report, *told])
            told = []
        elif rule in run.not_asked or rule in judgement.switched_off:
            why = "the run did not ask it" if rule in run.not_asked else f"switched off: {rule}=never"
            ElementTree.SubElement(case, "skipped", message=why)
        elif alerts:
            passed = "" if fails else passes(alerts)
            ElementTree.SubElement(case, "system-out").text = f"{report}\n\n{passed}".rstrip()
        elif rule in (*run.rules, "LW802") and (why := _not_judged(known.get(rule), run)):
            ElementTree.SubElement(case, "skipped", message=why)


def _not_judged(rule: Rule | None, run: FinishedRun) -> str:
    """Why a rule that has found nothing had nothing to judge, or not all of it, as far as files tell; else empty."""
    if rule is not None:
        if rule.of == "evaluation" and not run.evaluation:
            return "the run had no evaluation"
        if isinstance(rule, (RewardNotRising, RewardsAllEqual, StaleRollouts)) and run.reward_ends is None:
            return "the run had no reward"
        if rule.id == ReplicasDiffer.id and run.config.get("world_size") == 1:
            return "one process trained"
        if rule.needs is not None and not any(rule.needs in adapter.last for adapter in run.adapters.values()):
            return f"{rule.needs} was not measured"
    if run.ended or (rule is not None and rule.static):  # settings are judged before the first step
        return ""
    return f"the run ended before all was judged: {run.ending}, {run.steps}"
