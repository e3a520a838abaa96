#!/bin/bash -eu
# Runs in the image of the Dockerfile: harnesses, seeds and dictionaries go to $OUT.

cd "$SRC/streamfmt"
pip3 install .

seeds=$(mktemp -d)
python3 -P -m streamfmt.fuzz.seeds "$seeds"

for harness in conformance/fuzz/fuzz_*.py; do
  name=$(basename "$harness" .py)
  # Modules are imported lazily, which the bundler does not see; data is read by path.
  compile_python_fuzzer "$harness" --collect-submodules streamfmt --collect-data streamfmt
  kind=streams
  if [ "$name" = fuzz_recipe ]; then kind=recipes; fi
  (cd "$seeds/$kind" && zip -q "$OUT/${name}_seed_corpus.zip" ./*)
  cp "$seeds/streamfmt.dict" "$OUT/$name.dict"
  printf '[libfuzzer]\nmax_len = 65536\n' >"$OUT/$name.options"
done
