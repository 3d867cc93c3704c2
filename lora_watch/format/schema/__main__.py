"""``python -m lora_watch.format.schema FOLDER`` copies every schema to a folder."""

import sys
from pathlib import Path

from lora_watch.format.schema import write

write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
