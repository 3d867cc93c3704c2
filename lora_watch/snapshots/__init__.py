"""Copies of adapters, optimizer state, buffers and random states, in memory and on disk."""
