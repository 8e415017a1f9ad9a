#!/usr/bin/env bash
# Counts the instructions of one recognition, hold, sale, route and ranking, and compares them with the committed
# counts in benches/instructions.txt: more than 5 % above is a regression and fails; more than 5 % below asks for a new
# file. Counts depend on the compiler, so write a new file with each toolchain: benches/instructions.sh --write
set -euo pipefail
cd "$(dirname "$0")/.."

committed=benches/instructions.txt
times=1000
tolerance_percent=5

if ! command -v valgrind >/dev/null; then
    echo 'SKIPPED: valgrind is not installed, so the instructions of the engine are not counted'
    exit 0
fi

cargo build --release --quiet --workspace --bin tillside-instructions
program=${CARGO_TARGET_DIR:-target}/release/tillside-instructions

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        --collect-atstart=no --toggle-collect='*tillside_measured*' "$program" "$1" 2>&1 |
        awk -v times="$times" '/Collected *:/ { print int($NF / times); found = 1 } END { exit !found }'
}

if [[ ${1:-} == --write ]]; then
    new=$(mktemp)
    echo '# Instructions of one operation; see instructions.sh.' >"$new"
    for operation in recognise reserve sale route rank; do
        echo "$operation $(count "$operation")" >>"$new"
    done
    mv "$new" "$committed"
    cat "$committed"
    exit 0
fi

failed=0
while read -r operation before; do
    [[ $operation == '#'* ]] && continue
    now=$(count "$operation")
    change=$(awk -v a="$before" -v b="$now" 'BEGIN { printf "%+.1f", (b - a) * 100 / a }')
    printf '%-10s %8d instructions, %s %% since the last committed count\n' "$operation" "$now" "$change"
    if awk -v c="$change" -v t="$tolerance_percent" 'BEGIN { exit !(c > t) }'; then
        failed=1
    elif awk -v c="$change" -v t="$tolerance_percent" 'BEGIN { exit !(c < -t) }'; then
        echo "           much better: commit the new counts (benches/instructions.sh --write)"
    fi
done <"$committed"
if ((failed)); then
    echo "More than $tolerance_percent % above a committed count. Find out why, or commit the new counts with the reason."
    exit 1
fi
