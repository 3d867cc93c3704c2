"""Finding and reading what a run has left, for the gate, the comparison and the tab. Imports no torch."""
