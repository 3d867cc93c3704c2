"""Tests of the sweep that finds a learning rate."""
