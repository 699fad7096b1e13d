#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Half an hour of one large GPU for nano, from real images and labels that are packed here and
# rendered there. Run from the repository's root; `train` goes on where it stopped.
#
#   gpu.sh pack DATA HDRI CUTOUTS [IMAGE_ENCODER] here: what travels, into gpu-parcel/
#   gpu.sh train OUT [MINUTES]                    there: renders, checks, trains; weights into OUT
#   gpu.sh unpack OUT MODEL                       here: the model directory that came back
#
# In the environment: MEGABYTES of the parcel (36), RECORDS to render (60000), INIT, the model to
# start from (nano), CONFIG (nano_gpu.yaml), WORK, a folder with room for 40 GB (/tmp/nano).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
parcel=gpu-parcel
python=${PYTHON:-python3}
diception() { "$python" -c 'from diception_ros.cli import main; main()' "$@"; }

pack() {
    local left=$((${MEGABYTES:-36} * 1024)) size source
    [ ! -e "$parcel" ] || { echo "gpu.sh: $parcel is there already: move it away" >&2; exit 1; }
    mkdir -p "$parcel/real"
    # The most useful first; what no longer fits stays here.
    for source in ${4:+"image_encoder=$4"} "cutouts=$3" real/{doors,intel_sample_videos}=$1 \
            "hdri=$2" real/{cid22,sam2_demo,clic2025,bridge_octo,kodak,trashnet}=$1; do
        local name=${source%%=*} from=${source#*=}
        case $name in real/*) from=$from/${name#real/} ;; esac
        size=$(du -sk "$from" | cut -f1)
        if [ "$size" -gt "$left" ]; then echo "$name: left here, $size kB"; continue; fi
        cp -r "$from" "$parcel/$name"
        left=$((left - size))
    done
    du -sh "$parcel"
}

train() {
    local out=$1 minutes=${2:-22} work=${WORK:-/tmp/nano}
    local encoder=()
    [ ! -d "$parcel/image_encoder" ] || encoder=(--image-encoder "$parcel/image_encoder")
    mkdir -p "$out" "$work"
    [ -e "$work/assets/assets.json" ] || "$python" -m diception_ros.lab.datasets.assets \
        "$parcel/real" --hdri "$parcel/hdri" --cutouts "$parcel/cutouts" --out "$work/assets"
    diception train --out "$work/run" --config "${CONFIG:-$here/nano_gpu.yaml}" \
        --store "$work/store" --render "${RECORDS:-60000}" --data "$parcel/real" \
        --assets "$work/assets" --init "${INIT:-nano}" "${encoder[@]}" \
        --minutes "$minutes" 2>&1 | tee -a "$out/log.txt"
    tar -C "$work/run" -cf - model | split -b 15M - "$out/model.tar."
    cp "$work/run/curves.png" "$work/run/log.jsonl" "$out/"
}

unpack() {
    [ ! -e "$2" ] || { echo "gpu.sh: $2 is there already: name a new folder" >&2; exit 1; }
    mkdir -p "$2"
    cat "$1"/model.tar.* | tar -xf - -C "$2" --strip-components 1
}

case ${1:-} in
    pack | train | unpack) "$@" ;;
    *) sed -n '3,12p' "$0" >&2; exit 2 ;;
esac
