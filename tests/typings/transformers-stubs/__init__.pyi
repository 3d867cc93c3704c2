"""All that the package imports from ``transformers`` itself.

Without it Pyright reads the 2,600 files of every model, 17 s of CPU. Other modules of it are read as they are. Another
name that the package imports from ``transformers`` needs a line here.
"""

from typing import Any

from .trainer import Trainer as Trainer
from .trainer_callback import PrinterCallback as PrinterCallback
from .trainer_callback import TrainerCallback as TrainerCallback
from .trainer_callback import TrainerControl as TrainerControl
from .trainer_callback import TrainerState as TrainerState
from .trainer_utils import set_seed as set_seed
from .training_args import TrainingArguments as TrainingArguments

AutoModelForCausalLM: Any
AutoTokenizer: Any
