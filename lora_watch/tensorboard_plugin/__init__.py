"""The "LoRA" tab of TensorBoard: ``routes`` serve it, ``static/`` is what the browser runs.

TensorBoard imports this package at each of its starts, so nothing is imported here.
"""
