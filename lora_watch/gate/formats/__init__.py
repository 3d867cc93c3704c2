"""Writes a judgement down: for a terminal, for GitHub, for Markdown, for JUnit's readers. All are pure."""
