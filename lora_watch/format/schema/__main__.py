"""``python -m lora_watch.format.schema FOLDER`` copies every schema to a folder, which must exist."""

import shutil
import sys

from lora_watch.format.schema import FILES

for file in FILES:
    shutil.copy(file, sys.argv[1] if len(sys.argv) > 1 else ".")
