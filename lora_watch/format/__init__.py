"""Names and versions of the files of a run: writers and readers share them."""
