"""Names, versions and schemas of the files of a run: writers and readers share them."""
