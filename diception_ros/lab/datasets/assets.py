# SPDX-License-Identifier: Apache-2.0
"""Collects real images for synthetic scenes: textures, panoramas and where the cut-outs are.

    python -m diception_ros.lab.datasets.assets ../shared/real --hdri HDRI --cutouts CUTOUTS \
        --out ASSETS

ASSETS is what `diception_ros.lab.synthetic.Assets` reads: textures.npy, backdrops.npy,
panoramas.npy and assets.json, which names the photographs. HDRI holds equirectangular panoramas,
*.hdr or *.exr.
"""

import argparse
import json
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from diception_ros.lab.datasets.photographs import split_of
from diception_ros.lab.synthetic.assets import PANORAMA, SIDE, TEXELS, pyramid

BACKDROP = (240, 192)          # columns, rows
EVEN = 22                      # of 255: standard deviation of a corner that shows one surface only
# Floors and walls are corners of photographs, clothes the middle of those of garments
SOURCES = {'scene': ('doors', 'cid22', 'clic2025', 'kodak'), 'wall': ('doors',),
           'backdrop': ('doors', 'cid22', 'clic2025', 'kodak'),
           'floor': ('clothing',), 'cloth': ('clothing',), 'goods': ('grocery', 'trashnet')}
MOST = {'backdrop': 500, 'scene': 700, 'wall': 250, 'floor': 500, 'cloth': 500, 'goods': 500}


def photographs_of(real, kind, rng):
    """Squares uint8 (SIDE, SIDE, 3) of a kind, or backdrops, RGB, and the names of their
    photographs: those to train on only."""
    jobs = [(source, path) for source in SOURCES[kind]
            for path in sorted((real / source / 'rgb').glob('*.jpg'))
            if split_of(source, path.stem) == 'train' and path.name not in _peopled(real / source)]
    rng.shuffle(jobs)
    count = 0
    for source, path in jobs:
        image = cv2.imread(str(path))
        if image is None or count == MOST[kind]:
            continue
        high, wide = image.shape[:2]
        short = min(high, wide)
        if kind == 'backdrop':
            image = cv2.resize(image, BACKDROP, interpolation=cv2.INTER_AREA)
            count += 1
            yield np.ascontiguousarray(image[..., ::-1]), f'{source}/{path.name}'
            continue
        if kind in ('floor', 'wall'):
            side = round(.25 * short)
            x = 0 if rng.random() < .5 else wide - side
            y = 0 if kind == 'wall' or rng.random() < .5 else high - side
        elif kind == 'cloth':
            side = round(.3 * short)
            x, y = (wide - side) // 2, (high - side) // 2
        else:
            side = round(rng.uniform(.6, 1) * short)
            x, y = int(rng.integers(wide - side + 1)), int(rng.integers(high - side + 1))
        square = image[y:y + side, x:x + side, ::-1]
        if kind in ('floor', 'wall') and cv2.blur(square, (5, 5)).std(axis=(0, 1)).max() > EVEN:
            continue
        count += 1
        yield cv2.resize(np.ascontiguousarray(square), (SIDE, SIDE),
                         interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC), \
            f'{source}/{path.name}'


def panorama_of(path):
    """float32 (H, W, 3), linear RGB, of an .hdr or .exr file."""
    if path.suffix == '.hdr':
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    try:
        import OpenEXR
    except ImportError:
        raise ImportError(f'{path}: needs OpenEXR: pip install OpenEXR') from None
    with OpenEXR.File(str(path)) as file:
        return np.float32(file.channels()['RGB'].pixels)


@cache
def _peopled(folder):
    """Names of a source's photographs in which a teacher saw anybody: not even a poster may."""
    labels = folder / 'teacher.jsonl'
    lines = map(json.loads, labels.read_text().splitlines()) if labels.is_file() else ()
    return {line['file'] for line in lines if any(box[0] == 'person' for box in line['boxes'])}


def main():
    parser = argparse.ArgumentParser(prog='python -m diception_ros.lab.datasets.assets',
                                     description=__doc__.split('\n')[0])
    parser.add_argument('real', type=Path, help='folder of sources of photographs')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--hdri', type=Path, help='folder of panoramas, *.hdr or *.exr')
    parser.add_argument('--cutouts', type=Path, help='folder of cut-outs')
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    textures, names, kinds = [], [], {}
    for kind in (k for k in SOURCES if k != 'backdrop'):
        first = len(textures)
        for square, name in photographs_of(options.real, kind, rng):
            textures.append(pyramid(square))
            names.append(name)
        kinds[kind] = [first, len(textures)]
        print(f'{kind}: {len(textures) - first} textures', file=sys.stderr, flush=True)
    np.save(options.out / 'textures.npy', np.array(textures, np.uint8).reshape(-1, TEXELS, 3))
    backdrops = [image for image, _ in photographs_of(options.real, 'backdrop', rng)]
    np.save(options.out / 'backdrops.npy', np.array(backdrops, np.uint8))
    print(f'{len(backdrops)} backdrops', file=sys.stderr, flush=True)
    panoramas = []
    for path in sorted(options.hdri.iterdir()) if options.hdri else ():
        if path.suffix not in ('.hdr', '.exr'):
            continue
        image = panorama_of(path)
        image = cv2.resize(image, (2 * PANORAMA, PANORAMA), interpolation=cv2.INTER_AREA)
        image = np.minimum(image, 30 * image.mean())        # the sun is a lamp of its own
        panoramas.append((image / image.mean()).astype(np.float16))
    np.save(options.out / 'panoramas.npy', np.array(panoramas, np.float16))
    about = {'kinds': kinds, 'panoramas': len(panoramas),
             'backdrops': len(backdrops), 'names': names}
    if options.cutouts:
        about['cutouts'] = str(options.cutouts.resolve())
    (options.out / 'assets.json').write_text(json.dumps(about))
    return 0


if __name__ == '__main__':
    sys.exit(main())
