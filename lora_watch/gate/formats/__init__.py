"""Writes a judgement down: for a terminal, for GitHub, for JUnit's readers. All are pure."""
