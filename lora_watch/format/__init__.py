"""Names and versions of the files of a run: writers and readers share them."""

REPORT, PAGE = "report.json", "report.html"
WAITING, WAITING_PAGE = "waiting.json", "waiting.html"
"""A mark next to the report of an earlier run, where a later run is set up that has no report of its own, and what the
page of the earlier one is called meanwhile."""
KEPT = {REPORT: "report.previous.json", PAGE: "report.previous.html", WAITING_PAGE: "report.previous.html"}
"""What the files of the earlier run are called when the later one has begun."""
