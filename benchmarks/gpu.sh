#!/usr/bin/env bash
# What has to be seen on one GPU, in about ten minutes:  bash benchmarks/gpu.sh [folder of results]
# A step that fails or takes too long does not stop the others, and what it printed is kept.
set -uo pipefail
out=${1:-gpu_results}
mkdir -p "$out"
python=${PYTHON:-.venv/bin/python}
failed=0

step() { # name, seconds, command
    local name=$1 seconds=$2
    shift 2
    echo "== $name: $*"
    if timeout "$seconds" "$@" >"$out/$name.log" 2>&1; then
        tail -n 3 "$out/$name.log"
    else
        echo "$name ended with $? (its output is in $out/$name.log)"
        tail -n 5 "$out/$name.log"
        failed=1
    fi
}

device=cuda
"$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || { echo "no GPU here: the steps run on the processor"; device=cpu; }
trainer=$([ "$device" = cuda ] && echo gpu || echo cpu)
small=(data=digits trainer=$trainer callbacks.progress=false "paths.runs=$out/runs")

step correctness 120 "$python" benchmarks/device_checks.py --device "$device"
step training 90 "$python" src/train.py "${small[@]}" trainer.max_steps=400 name=csm
again=("$python" src/train.py "${small[@]}" trainer.max_steps=1500 name=resumed)
timeout -s TERM 20 "${again[@]}" >"$out/stopped.log" 2>&1
step resumed 120 "${again[@]}"
grep -q resuming "$out/resumed.log" || { echo "the stopped training was not resumed"; failed=1; }
step precision 90 "$python" src/train.py "${small[@]}" trainer.max_steps=400 trainer.precision=bf16-mixed name=bf16
step blocks 90 "$python" src/train.py "${small[@]}" objective=csm backbone=patch_transformer "backbone.patch=[2,2]" trainer.max_steps=200 name=blocks
step compare 30 "$python" src/compare.py "$out/runs"
step train_step 90 "$python" benchmarks/train_step.py --device "$device" --rounds 9
step exact_sm 60 "$python" benchmarks/exact_sm.py --device "$device"
step memory 60 "$python" benchmarks/memory.py --device "$device" --repeats 2
exit $failed
