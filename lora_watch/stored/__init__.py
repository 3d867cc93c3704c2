"""Weights and adapters as they lie on disk, read a tensor at a time."""
