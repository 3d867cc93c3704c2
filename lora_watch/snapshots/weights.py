"""Tensors of a model's safetensors files: one file, or many with an index. Nothing is unpickled, nothing read early."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from lora_watch.base.untrusted import MISFITS, load_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MOST_NAMES_BYTES = 15_000_000
"""Of the list of tensors at a file's beginning: 100,000 of them. Reading it takes thirteen times as much memory."""
_LFS = b"version https://git-lfs.github.com/spec/"
"""What a clone without Git LFS leaves in the place of weights begins so."""


class StoredError(ValueError):
    """Something on disk that is not there, or not what it should be. Its message names it and says what to do."""


class StoredWeights(Mapping[str, Tensor]):
    """The tensors of a folder or file by their names in it; each is read when asked for, and not kept. Names and shapes
    are all that is read at the start. Raises StoredError for a file that cannot be read."""

    def __init__(self, files: Iterable[Path]):
        self._file_of: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for file in files:
            with opened(file) as content:
                for name in content.keys():  # noqa: SIM118 (this is no dict)
                    self._file_of[name] = file
                    self.shapes[name] = tuple(content.get_slice(name).get_shape())

    def __getitem__(self, name: str) -> Tensor:
        file = self._file_of[name]
        try:
            with opened(file) as content:
                return content.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise StoredError(f"{file}: {name} cannot be read: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)


def stored_weights(path: Path) -> StoredWeights | None:
    """The weights in a model's folder; None where it has none in safetensors. Raises StoredError for broken files."""
    if path.is_file():
        files = [path]
    elif (path / INDEX).is_file():
        files = _indexed(path / INDEX)
    else:
        files = [path / SINGLE] if (path / SINGLE).is_file() else []
    return StoredWeights(files) if files else None


def opened(file: Path):  # safetensors' own type is not public
    """``safe_open(file)`` for torch, on the CPU. Raises StoredError for what is no safetensors file."""
    try:
        with open(file, "rb") as content:
            beginning = content.read(len(_LFS))
        if beginning == _LFS:
            raise StoredError(f"{file}: a pointer of Git LFS, and not the weights: git lfs pull fetches them")
        if int.from_bytes(beginning[:8], "little") > MOST_NAMES_BYTES:
            raise OSError(f"its list of tensors is longer than {MOST_NAMES_BYTES:,} bytes")
        return safe_open(file, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise StoredError(f"{file}: not a readable safetensors file: {error}") from None


def _indexed(index: Path) -> list[Path]:
    try:
        names = set(load_json(index)["weight_map"].values())
        # An index is somebody else's text: only names of files next to it are followed.
        if not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise ValueError("it names a file that is not next to it")
    except (OSError, *MISFITS) as error:
        raise StoredError(f"{index}: not an index of safetensors files: {error}") from None
    missing = [name for name in sorted(names) if not (index.parent / name).is_file()]
    if missing:
        raise StoredError(f"{index}: {missing[0]} is not there; complete the download, or remove the index")
    return [index.parent / name for name in sorted(names)]


def weight_of(weights: Mapping[str, Tensor], module: str) -> str | None:
    """The name under which the weight of the layer ``module`` is stored; None where there is none, or several could be.
    A model and its file differ in what stands in front: ``bert.encoder.…`` is stored as ``encoder.…``."""
    wanted = f"{module}.weight"
    if wanted in weights:
        return wanted
    near = [name for name in weights if wanted.endswith(f".{name}") or name.endswith(f".{wanted}")]
    return near[0] if len(near) == 1 else None
