"""A device of the test suite's own, stricter than CUDA (``strict``), and what runs on it."""
