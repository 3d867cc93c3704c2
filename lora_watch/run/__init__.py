"""The loop: which adapters are monitored, what is measured of them and when, and what ends a run. Framework-free."""
