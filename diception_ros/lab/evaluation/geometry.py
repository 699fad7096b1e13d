# SPDX-License-Identifier: Apache-2.0
"""How good is the geometry: metres, clouds and clicks on worlds with exact truth, seen through the
flaws of a model's output."""

import time
from types import SimpleNamespace

import cv2
import numpy as np

from diception_ros.geometry import (
    ClickTracker,
    angle_between,
    complete_depth,
    fit_ground_plane,
    fit_reference,
    flying_pixels,
    normals_from_depth,
    point_cloud,
)
from diception_ros.lab.synthetic import camera_move, random_view
from diception_ros.tasks import STUFF
from diception_ros.tasks.depth import relative_disparity

SIZE = 640, 480
BAD = 0.15  # AbsRel of a fit that should have been refused
RIGHT = 16.0  # pixels that a followed click may be off on the same thing: 2.5 % of the width
TEXTURE = 2e-6  # smallest eigenvalue of the grey levels' slopes around a click, of 1: textured
NOISE_TEXTURE = 1.6e-3  # what noise of deviation 1 adds to that
INSIDE = 8  # pixels that a click is from the edge of its thing at least
FRAMES = 31


def measure_geometry(scenes=40, moves=4, worlds='full', split='validation',
                     progress=lambda done: None):
    """Figures of the geometry on `scenes` worlds and `moves` camera moves of 31 frames, 640x480.

    Disparity is seen through 2 px of blur, 3 % of smooth multiplicative error and 1 % of noise,
    normals through a turn of 2 degrees that all share and 3 degrees of smooth error, the camera's
    height through an error of 1 %. Clicks are followed with that disparity known (`clicks.`), and
    without (`clicks_alone.`); things are what is neither floor nor wall. Returns a flat dict of
    floats: errors are shares (0.05 = 5 %) or degrees as the name says, `_ms` is processor time, the
    least of all runs. progress(done) is called after every scene and move.
    """
    figures, times = {}, {}
    for index in range(scenes):
        view = _flawed_view(index, worlds, split)
        for part in (_reference, _ground, _cloud, _normals):
            for name, value in part(view, times):
                figures.setdefault(name, []).append(value)
        progress(index + 1)
    clicks = [], []
    for index in range(moves):
        for all_of, new in zip(clicks, _clicks(index, worlds, times)):
            all_of.extend(new)
        progress(scenes + index + 1)
    return _summary(figures, clicks, times)


def degraded(disparity, rng):
    """A disparity as a model would see it: blur, smooth multiplicative error, noise."""
    flawed = cv2.GaussianBlur(disparity, (0, 0), 2)
    flawed = flawed * (1 + 0.03 * smooth_field(disparity.shape, rng))
    flawed = flawed + 0.01 * rng.standard_normal(disparity.shape)
    return np.clip(flawed, 0, 1).astype(np.float32)


def turned(normals, rng, bias=2.0, smooth=3.0):
    """Normals as a model would see them: turned by `bias` degrees about one axis everywhere,
    and by `smooth` degrees about axes that change slowly over the picture; 0 stays 0."""
    axis = rng.standard_normal(3)
    matrix = cv2.Rodrigues(np.radians(bias) * axis / np.linalg.norm(axis))[0]
    flawed = normals @ matrix.T
    field = np.stack([smooth_field(normals.shape[:2], rng) for _ in range(3)], -1)
    flawed = flawed + np.cross(np.radians(smooth) / np.sqrt(2) * field, flawed)
    length = np.linalg.norm(flawed, axis=-1, keepdims=True)
    return (flawed / np.maximum(length, 1e-6) * (length > 0.5)).astype(np.float32)


def smooth_field(shape, rng, cells=5):
    """Smooth noise (H, W) of unit deviation."""
    field = cv2.resize(rng.standard_normal((cells, cells)), shape[::-1],
                       interpolation=cv2.INTER_CUBIC)
    return field / field.std()


def _flawed_view(seed, worlds, split):
    """A world, and what a model would make of it."""
    truth = random_view(seed, size=SIZE, worlds=worlds, split=split)
    rng = np.random.default_rng(seed)
    exact = relative_disparity(truth.depth)
    # What is clipped has no distance in it, with or without flaws.
    counted = np.isfinite(truth.depth) & (exact > 0) & (exact < 1)
    return SimpleNamespace(truth=truth, rng=rng, exact=exact, disparity=degraded(exact, rng),
                           normals=turned(truth.normals, rng), counted=counted)


def _timed(times, name, function, *arguments, **options):
    begin = time.process_time()
    result = function(*arguments, **options)
    times.setdefault(name, []).append(1e3 * (time.process_time() - begin))
    return result


def _absrel(depth, view):
    counted = view.counted & np.isfinite(depth)
    truth = view.truth.depth[counted]
    return float(np.mean(np.abs(depth[counted] - truth) / truth))


def _reference(view, times):
    """A reference of 0.2 % of the pixels, with outliers, beside one of all true pixels."""
    depth = view.truth.depth
    dense = fit_reference(view.disparity, depth)
    best = _absrel(dense.depth(view.disparity), view) if dense.ok else np.nan
    yield 'reference.dense', best
    chosen = view.rng.choice(depth.size, depth.size // 500, replace=False)
    for outliers in (0, 50, 70):
        sparse = np.full(depth.shape, np.nan, np.float32)
        sparse.flat[chosen] = depth.flat[chosen]
        wrong = chosen[:len(chosen) * outliers // 100]
        sparse.flat[wrong] = view.rng.uniform(0.3, 10, len(wrong))
        scale = _timed(times, 'reference', fit_reference, view.disparity, sparse)
        metres = scale.depth(view.disparity)
        yield f'reference.outliers_{outliers}', _absrel(metres, view) if scale.ok else np.nan
        if not outliers:
            done = _timed(times, 'completion', complete_depth, metres, sparse)
            yield 'reference.completed', _absrel(done, view) if scale.ok else np.nan
    # Another world's depth is no reference of this one, however dense.
    yield 'reference.mirrored', _absrel_of_wrong(view, depth[:, ::-1])
    yield 'reference.upside_down', _absrel_of_wrong(view, depth[::-1])


def _absrel_of_wrong(view, reference):
    scale = fit_reference(view.disparity, reference)
    return _absrel(scale.depth(view.disparity), view) if scale.ok else np.nan


def _ground(view, times):
    """The floor, with and without gravity; and the part of the picture above it."""
    truth = view.truth
    height = truth.camera_pose[2, 3] * (1 + 0.01 * view.rng.choice([-1, 1]))
    down = -truth.camera_pose[2, :3]
    for name, gravity in (('ground', None), ('ground_gravity', down)):
        scale = _timed(times, 'ground', fit_ground_plane, view.disparity, view.normals,
                       truth.intrinsics, height, gravity)
        yield name, _absrel(scale.depth(view.disparity), view) if scale.ok else np.nan
    floor = np.isin(truth.instances, [k for k, v in truth.categories.items() if v == 'floor'])
    rows = np.flatnonzero(floor.mean(1) > 0.005)
    top = int(rows[0]) if len(rows) else SIZE[1]
    above = truth.depth[:top]
    if top >= SIZE[1] // 4 and np.isfinite(above).mean() > 0.3:
        scale = fit_ground_plane(degraded(relative_disparity(above), view.rng),
                                 view.normals[:top], truth.intrinsics, height)
        yield 'ground.without_floor_accepted', float(scale.ok)


def _cloud(view, times):
    """Points that hang between surfaces, once through the blur: a pixel flies when no true surface
    within 3 pixels has its depth, within 5 %."""
    truth = np.where(np.isfinite(view.truth.depth), view.truth.depth, 1e3).astype(np.float32)
    depth = 1 / cv2.GaussianBlur(1 / truth, (0, 0), 2)
    depth[~np.isfinite(view.truth.depth)] = np.nan
    off = np.full(depth.shape, np.inf, np.float32)
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            np.minimum(off, np.abs(np.roll(truth, (dy, dx), (0, 1)) - depth), out=off)
    inner = np.zeros(depth.shape, bool)
    inner[5:-5, 5:-5] = np.isfinite(depth)[5:-5, 5:-5]
    flies = (off > 0.05 * depth) & inner
    found = _timed(times, 'flying', flying_pixels, depth) & inner
    yield 'cloud.flying', np.array([np.count_nonzero(flies & found), np.count_nonzero(flies),
                                    np.count_nonzero(found)])
    for name, normals in (('cloud', None), ('cloud_normals', view.normals)):
        for _ in range(2):
            _timed(times, name, point_cloud, depth, view.truth.intrinsics, view.truth.rgb, normals)


def _normals(view, times):
    angle = angle_between(_timed(times, 'normals', normals_from_depth, view.truth.depth,
                                 view.truth.intrinsics), view.truth.normals)
    yield 'normals.from_depth_median_deg', float(np.nanmedian(angle))


def _clicks(seed, worlds, times):
    """Clicks on the first frame of a camera move that stay in sight, each as `_judged` has it:
    followed with the disparity of the frame before known, and without: two lists."""
    rng = np.random.default_rng(seed)
    clicks, before = None, None
    for truth in camera_move(seed, frames=FRAMES, size=SIZE, worlds=worlds):
        if clicks is None:
            clicks = _draw_clicks(truth, rng)
            start = np.array([click['pixel'] for click in clicks], np.float32)
            ways = [(name, ClickTracker(), start.copy()) for name in ('tracking', 'alone')]
        for name, tracker, points in ways:
            keys = np.flatnonzero(np.isfinite(points).all(1)).tolist()
            if keys:
                points[keys] = _timed(times, name, tracker.follow, truth.rgb, points[keys], keys,
                                      before if name == 'tracking' else None)
        for click in clicks:
            _look(click, truth)
        before = degraded(relative_disparity(truth.depth), rng)
    return [_judged(clicks, points, truth) for _, _, points in ways]


def _judged(clicks, points, truth):
    """Of every click that was in sight all the time: (right, wrong, texture, on a thing)."""
    results = []
    for click, point in zip(clicks, points):
        if not click['seen']:
            continue
        lost = not np.isfinite(point).all()
        column, row = np.rint(np.nan_to_num(point)).astype(int).clip(0, np.asarray(SIZE) - 1)
        right = (not lost and truth.instances[row, column] == click['label']
                 and np.linalg.norm(point - click['now']) <= RIGHT)
        results.append((bool(right), not (right or lost), click['texture'],
                        truth.categories[click['label']] not in STUFF))
    return results


def _draw_clicks(truth, rng, count=20):
    """Pixels on things at rest, seldom on walls and floors, with what is true of them; not on the
    very edge, where two pixels decide which thing is meant."""
    texture = _texture(truth.rgb)
    clicks = []
    labels = truth.instances.astype(np.float32)
    square = np.ones((2 * INSIDE + 1, 2 * INSIDE + 1), np.uint8)
    inner = cv2.erode(labels, square) == cv2.dilate(labels, square)
    for _ in range(3000):
        x, y = (int(rng.integers(8, n - 8)) for n in SIZE)
        label = int(truth.instances[y, x])
        category = truth.categories.get(label, 'sky')
        large = category in ('wall', 'floor', 'ceiling')
        if not inner[y, x] or category in ('person', 'sky') or (large and rng.random() < 0.85):
            continue
        z = float(truth.depth[y, x])
        ray = np.linalg.solve(truth.intrinsics, [x, y, 1.0])
        clicks.append({'pixel': (x, y), 'label': label, 'texture': float(texture[y, x]),
                       'world': truth.camera_pose @ [*(ray * z), 1.0], 'seen': True})
        if len(clicks) == count:
            break
    return clicks


def _texture(rgb):
    """How much there is to hold on to around every pixel, float32 (H, W): the smaller eigenvalue
    of the grey levels' slopes, less what the noise there accounts for, half again for safety."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    strength = cv2.cornerMinEigenVal(cv2.GaussianBlur(grey, (0, 0), 2.5), 7)
    ripple = cv2.resize(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), None, fx=0.5, fy=0.5,
                        interpolation=cv2.INTER_NEAREST)
    # The median of |N(0, 1)| is 0.6745; the kernel's weights (4, -1 x 4) have norm sqrt(20).
    ripple = cv2.medianBlur(np.minimum(255 * ripple, 255).astype(np.uint8), 19)
    sigma = cv2.resize(ripple, rgb.shape[1::-1]) / (255 * 0.6745 * np.sqrt(20))
    return cv2.boxFilter(strength, -1, (31, 31)) - 1.5 * NOISE_TEXTURE * sigma.astype(float) ** 2


def _look(click, truth):
    """Where a click's point is on this frame; seen only while nothing is in front of it."""
    point = np.linalg.solve(truth.camera_pose, click['world'])[:3]
    pixel = truth.intrinsics @ (point / max(point[2], 1e-6))
    click['now'] = pixel[:2]
    column, row = np.rint(pixel[:2]).astype(int)
    inside = point[2] > 0.1 and 4 <= column < SIZE[0] - 4 and 4 <= row < SIZE[1] - 4
    # In front of it may also be who walks through a wall, hence at its depth.
    click['seen'] &= bool(inside and abs(truth.depth[row, column] - point[2]) < 0.08 * point[2]
                          and truth.instances[row, column] == click['label'])


def _summary(figures, clicks, times):
    summary = {}
    for name, values in figures.items():
        if name == 'cloud.flying':
            both, flying, found = np.sum(values, 0)
            summary['cloud.flying_precision'] = float(both / max(found, 1))
            summary['cloud.flying_recall'] = float(both / max(flying, 1))
            continue
        values = np.array(values)
        known = values[np.isfinite(values)]
        if name in ('reference.mirrored', 'reference.upside_down'):
            summary[name + '_bad'] = float(np.mean(np.nan_to_num(values) > BAD))
            continue
        if name == 'ground.without_floor_accepted':
            summary[name] = float(values.mean())
            continue
        is_ground = name.startswith('ground')
        pick = np.median if is_ground or name.startswith('normals') else np.mean
        summary[name] = float(pick(known)) if len(known) else float('nan')
        if is_ground:
            summary[f'{name}.p90'] = float(np.percentile(known, 90)) if len(known) else np.nan
            summary[f'{name}.refused'] = float(np.mean(np.isnan(values)))
            summary[f'{name}.bad'] = float(np.mean(np.nan_to_num(values) > BAD))
        elif 'outliers' in name:
            ratios = values / np.array(figures['reference.dense'])
            summary[f'{name}.worst_ratio'] = float(np.nanmax(ratios))
            summary[f'{name}.refused'] = float(np.mean(np.isnan(values)))
    for way, results in zip(('clicks', 'clicks_alone'), clicks):
        textured = [click for click in results if click[2] > TEXTURE]
        things = [click for click in textured if click[3]]
        for name, chosen in ((way, results), (f'{way}.textured', textured),
                             (f'{way}.textured_things', things)):
            right, wrong = (np.mean([c[k] for c in chosen]) if chosen else np.nan for k in (0, 1))
            summary |= {f'{name}.right': float(right), f'{name}.wrong': float(wrong),
                        f'{name}.lost': float(1 - right - wrong),
                        f'{name}.count': float(len(chosen))}
    return summary | {f'{name}_ms': float(min(spent)) for name, spent in times.items()}
