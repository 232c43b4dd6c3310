#!/usr/bin/env bash
# engraft on an NVIDIA card: `embed` against the bare session and against PyTorch.
#
# For a machine with a card that can reach nothing: all it needs is packed here, carried over in parts, and joined there.
#
#   benches/gpu.sh pack               here: builds, and packs into target/gpu/parts/ (CUDA_LIBS=1: NVIDIA's libraries too)
#   benches/gpu.sh receive            there, after each load of parts: puts target/gpu/parts/* aside
#   benches/gpu.sh run                there: joins the parts, measures, writes $OUT/gpu.md and $OUT/raw/
#   benches/gpu.sh --dry-run COMMAND  says what it would do
#
# Parts are of 60 MiB at most. `pack` needs cargo, zstd, python3 with pip; `run` needs zstd (or python3 with zstandard).
# Settings: PROFILE=release, DEVICE=cuda:0, MODELS, PRECISIONS, BATCHES, SECONDS_EACH=5, IMAGES=4096, OUT=target/gpu/out.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
work=$root/target/gpu
parts=$work/parts
kept=$work/received
unpacked=$work/unpacked
out=${OUT:-$work/out}
profile=${PROFILE:-release}
device=${DEVICE:-cuda:0}
read -ra models <<<"${MODELS:-vit-s14 efficientnet-lite0}"
read -ra precisions <<<"${PRECISIONS:-f32 f16}"
read -ra batches <<<"${BATCHES:-1 8 32 128 512}"
seconds=${SECONDS_EACH:-5}
images=${IMAGES:-4096}

dry=
if [[ ${1:-} == --dry-run ]]; then
    dry=1
    shift
fi

# Runs a command, or says it.
do_it() {
    if [[ $dry ]]; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

# Same, with its output in a file.
into() {
    local file=$1
    shift
    if [[ $dry ]]; then
        printf '%q ' "$@"
        printf '> %q\n' "$file"
    else
        "$@" >"$file"
    fi
}

fail() {
    echo "gpu.sh: $*" >&2
    exit 1
}

# The bench's file has a digest in its name; cargo tells it.
bench_binary() {
    cargo bench --no-run --profile "$profile" --bench bare_session --message-format=json 2>/dev/null |
        python3 -c 'import json,sys
for line in sys.stdin:
    m = json.loads(line)
    if m.get("executable") and m["target"]["name"] == "bare_session": print(m["executable"])'
}

pack() {
    local pile=$work/pile
    do_it rm -rf "$pile" "$parts"
    do_it mkdir -p "$pile/images" "$parts"
    local built=target/$profile
    [[ $profile == dev ]] && built=target/debug
    do_it cargo build --profile "$profile"
    do_it cp "$built/engraft" "$pile/engraft"
    if [[ $dry ]]; then
        echo "cargo bench --no-run --profile $profile --bench bare_session; cp BINARY $pile/bare_session"
    else
        cp "$(bench_binary)" "$pile/bare_session"
    fi
    do_it "$pile/bare_session" images "$pile/images"
    local setup=(setup --gpu)
    if [[ ${CUDA_LIBS:-} == 1 ]]; then
        setup+=(--cuda-libs)
    fi
    do_it env ENGRAFT_HOME="$pile/home" "$pile/engraft" "${setup[@]}"
    for model in "${models[@]}"; do
        do_it env ENGRAFT_HOME="$pile/home" "$pile/engraft" models pull "$model"
    done
    do_it cp benches/peers/torch_gpu.py "$pile/"
    # The CUDA provider repeats itself over long distances: a window of 128 MiB halves it.
    if [[ $dry ]]; then
        echo "tar -C $pile -cf - . | zstd -T0 -12 --long=27 | split -b 60M -d -a 3 - $parts/part-"
    else
        tar -C "$pile" -cf - . | zstd -T0 -12 --long=27 | split -b 60M -d -a 3 - "$parts/part-"
        (cd "$parts" && sha256sum part-* >SHA256SUMS)
        rm -rf "$pile"
        du -h "$parts"/*
    fi
}

receive() {
    do_it mkdir -p "$kept"
    if [[ $dry ]]; then
        echo "mv $parts/* $kept/"
        return
    fi
    local found=("$parts"/*)
    [[ -e ${found[0]} ]] || fail "there is nothing in $parts"
    mv "$parts"/* "$kept"/
    ls -l "$kept"
}

join() {
    if [[ $dry ]]; then
        echo "(cd $kept && sha256sum --check SHA256SUMS); cat $kept/part-* | zstd -d --long=27 | tar -C $unpacked -xf -"
        return
    fi
    [[ -x $unpacked/engraft ]] && return
    [[ -f $kept/SHA256SUMS ]] || fail "$kept/SHA256SUMS is not there: carry the parts over and run 'receive' first"
    (cd "$kept" && sha256sum --quiet --check SHA256SUMS) || fail "parts are missing or damaged"
    mkdir -p "$unpacked"
    if command -v zstd >/dev/null; then
        cat "$kept"/part-* | zstd -d --long=27 | tar -C "$unpacked" -xf -
    else
        cat "$kept"/part-* | python3 -c 'import sys, zstandard
zstandard.ZstdDecompressor(max_window_size=1 << 27).copy_stream(sys.stdin.buffer, sys.stdout.buffer)' |
            tar -C "$unpacked" -xf -
    fi
}

# Copies of one image: names differ, and so do the bytes' places on the disk.
fill() {
    local kind=$1 folder=$unpacked/images/$1
    if [[ $dry ]]; then
        echo "copy $unpacked/images/photo.$kind $images times into $folder"
        return
    fi
    [[ -d $folder ]] && return
    mkdir -p "$folder"
    for ((i = 0; i < images; i++)); do
        cp "$unpacked/images/photo.$kind" "$(printf '%s/%06d.%s' "$folder" "$i" "$kind")"
    done
}

# One number out of a line of JSON; a dash where it is not there.
number() {
    python3 -c 'import json, sys
try:
    value = json.load(open(sys.argv[1])).get(sys.argv[2])
except (OSError, ValueError):
    value = None
print(f"{value:.0f}" if isinstance(value, (int, float)) else "-")' "$1" "$2"
}

card() {
    nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1 | grep . || echo "no card is known"
}

run() {
    join
    do_it mkdir -p "$out"
    fill bmp
    fill jpg
    export ENGRAFT_HOME=$unpacked/home
    do_it "$unpacked/engraft" doctor
    for model in "${models[@]}"; do
        do_it "$unpacked/engraft" doctor --model "$model"
    done
    local table=$out/gpu.md raw=$out/raw
    do_it mkdir -p "$raw"
    if [[ ! $dry ]]; then
        {
            echo "Images a second on $device ($(card)), $(nproc) cores"
            echo
            echo "| model | precision | batch | session | two sessions | embed, BMP 224×224 | of the better | embed, JPEG 640×480 | PyTorch |"
            echo "|---|---|---:|---:|---:|---:|---:|---:|---:|"
        } >"$table"
    fi
    local model precision batch one two kind torch vectors name
    for model in "${models[@]}"; do
        for precision in "${precisions[@]}"; do
            for batch in "${batches[@]}"; do
                name=$raw/$model-$precision-$batch
                # A batch that does not fit the card costs its own line only.
                into "$name-1.json" "$unpacked/bare_session" run "$model" "$device" "$precision" "$batch" 1 "$seconds" || true
                into "$name-2.json" "$unpacked/bare_session" run "$model" "$device" "$precision" "$batch" 2 "$seconds" || true
                for kind in bmp jpg; do
                    vectors=$work/vectors.npy
                    into "$name-$kind.json" "$unpacked/engraft" embed "$unpacked/images/$kind" --model "$model" \
                        --device "$device" --precision-run "$precision" --batch-size "$batch" --output "$vectors" \
                        --overwrite --quiet --json || true
                done
                into "$name-torch.json" python3 "$unpacked/torch_gpu.py" "$model" "$precision" "$batch" "$seconds" || true
                [[ $dry ]] && continue
                one=$(number "$name-1.json" images_per_second)
                two=$(number "$name-2.json" images_per_second)
                torch=$(number "$name-torch.json" images_per_second)
                local bmp jpg share=-
                bmp=$(number "$name-bmp.json" rows_per_second)
                jpg=$(number "$name-jpg.json" rows_per_second)
                if [[ $one != - && $two != - && $bmp != - ]]; then
                    share=$(python3 -c 'import sys
embed, *alone = map(float, sys.argv[1:])
print(f"{embed / max(alone):.2f}")' "$bmp" "$one" "$two")
                fi
                echo "| $model | $precision | $batch | $one | $two | $bmp | $share | $jpg | $torch |" | tee -a "$table"
            done
        done
    done
}

case ${1:-} in
pack | receive | run) "$1" ;;
*) sed -n '2,13s/^# \{0,1\}//p' "$root/benches/gpu.sh" && exit 2 ;;
esac
