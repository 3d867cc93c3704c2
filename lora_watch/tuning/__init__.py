"""Before a run: settings to start from and their check, the learning rate, and what saved adapters hold."""
