"""Before a run: settings to start from and their check, the learning rate, and a look into saved adapters."""
