# SPDX-License-Identifier: Apache-2.0
"""Contact sheets of the worlds, and their speed: python -m diception_ros.lab.synthetic sheet.png"""

import argparse
import time
from itertools import chain

import cv2
import numpy as np

from diception_ros.lab.synthetic import Assets, camera_move, random_view

# COCO joints that a limb connects
LIMBS = ((0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12),
         (11, 12), (11, 13), (13, 15), (12, 14), (14, 16))


def strip(truth, side):
    """rgb, the keypoints, depth, normals and instances of one picture, `side` rows high."""
    with np.errstate(divide='ignore'):
        near = 1 / truth.depth
    low, high = np.percentile(near, (2, 98))
    near = np.clip((near - low) / max(high - low, 1e-6), 0, 1)
    depth = cv2.applyColorMap((near * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    normals = ((1 - truth.normals) * 127.5).astype(np.uint8)
    colours = np.random.default_rng(1).integers(40, 255, (200, 3)).astype(np.uint8)
    instances = colours[truth.instances % 200]
    height, width = truth.depth.shape
    if truth.known is not None:
        normals[~truth.known['normals']] = 0
    size = (round(side * width / height), side)
    tiles = [cv2.resize(np.ascontiguousarray(p), size, interpolation=cv2.INTER_NEAREST
                        if len(p) <= side else cv2.INTER_AREA)
             for p in (truth.rgb, truth.rgb, depth[..., ::-1], normals, instances)]
    for person in truth.people:
        points = ((person.keypoints[:, :2] + .5) * side / height).astype(int).tolist()
        for a, b in LIMBS:
            if person.keypoints[a, 2] and person.keypoints[b, 2]:
                cv2.line(tiles[1], points[a], points[b], (255, 255, 0), 1, cv2.LINE_AA)
        for point, (_, _, seen) in zip(points, person.keypoints):
            if seen:
                colour = (0, 255, 0) if seen == 2 else (255, 0, 0)
                cv2.circle(tiles[1], point, 3, colour, -1, cv2.LINE_AA)
    return np.concatenate(tiles, axis=1)


def main():
    parser = argparse.ArgumentParser(prog='python -m diception_ros.lab.synthetic',
                                     description=__doc__)
    parser.add_argument('path', nargs='?', help='image to write; none: only measure the speed')
    parser.add_argument('--worlds', default='easy', help="'easy', 'full' or a number from 0 to 1")
    parser.add_argument('--size', type=int, nargs=2, default=(128, 128), metavar=('W', 'H'))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--count', type=int, default=16)
    parser.add_argument('--side', type=int, default=192, help='height of a tile')
    parser.add_argument('--columns', type=int, default=2)
    parser.add_argument('--only-rgb', action='store_true')
    parser.add_argument('--assets', help="folder of assets for realistic scenes; 'none': without "
                        'any images')
    parser.add_argument('--rgb-scale', type=int, default=1)
    parser.add_argument('--compare', type=int, default=0, metavar='N',
                        help='begin with N scenes as they are without assets')
    parser.add_argument('--move', action='store_true', help='frames of one camera move')
    options = parser.parse_args()
    worlds = options.worlds if options.worlds in ('easy', 'full') else float(options.worlds)
    size = tuple(options.size)
    assets = options.assets and Assets(None if options.assets == 'none' else options.assets)
    more = {'assets': assets, 'rgb_scale': options.rgb_scale}
    random_view(0, size, worlds, **more)
    times, strips = [], []
    if options.move:
        views = camera_move(options.seed, options.count, size, worlds=worlds)
    else:
        seeds = range(options.seed, options.seed + options.count)
        plain = (random_view(seed, size, worlds) for seed in seeds[:options.compare])
        views = chain(plain, (random_view(seed, size, worlds, **more)
                              for seed in seeds[options.compare:]))
    while True:
        began = time.perf_counter()
        truth = next(views, None)
        if truth is None:
            break
        times.append(time.perf_counter() - began)
        if options.path:
            picture = strip(truth, options.side)
            strips.append(picture[:, :picture.shape[1] // 5] if options.only_rgb else picture)
    print(f'{1 / np.mean(times):.0f} pictures/s (median {1 / np.median(times):.0f}) '
          f'of {size[0]}x{size[1]}, {worlds}')
    if options.path:
        while len(strips) % options.columns:
            strips.append(np.zeros_like(strips[0]))
        rows = [np.concatenate(strips[i:i + options.columns], axis=1)
                for i in range(0, len(strips), options.columns)]
        cv2.imwrite(options.path, np.concatenate(rows)[..., ::-1])


if __name__ == '__main__':
    main()
