"""Adapters and what else is trained, in memory and on disk.

``copies`` takes, keeps and restores what is trained. ``last_good`` writes the adapter of a
failed run, ``adapter`` and ``weights`` read what was saved, and ``receipt`` compares it.
"""
