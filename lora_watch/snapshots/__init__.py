"""Copies of adapters, optimizer state, buffers and random states, in memory and on disk.

``copies`` takes and restores. ``training`` names what recovery copies, and the copy to go back to.
``last_good`` keeps the adapter for a failed run's folder. ``weights``, ``parts`` and ``adapter``
are files.
"""
