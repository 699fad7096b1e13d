# SPDX-License-Identifier: Apache-2.0
"""Parts of one colour in a painted image: through noise, blur and drifting colours.

Flat places become markers, a watershed grows them to their borders, what has no contrast or the
same colour is joined, and pixels near borders go to the neighbour whose colour is theirs.
"""

import cv2
import numpy as np
from scipy.ndimage import uniform_filter

_SQUARE = np.ones((3, 3), np.uint8)
_BLOCK = 32  # pixels: colours are compared within blocks of this size, since they drift
_BLACK = 22  # colours (0..255) whose brightest channel is below are ground, not a part
_LEAST = 0.001  # share of the image: smaller parts are dropped
_MOST_PAIRS = 400  # of parts that are compared, the most alike first
_SLIVER = 14  # pixels: parts no wider may be nothing but a blurred border


def color_regions(image):
    """Label image int32 (H, W), 0 = black ground, of an image float32 (H, W, 3) in [0, 1]."""
    levels = np.rint(255 * image).astype(np.uint8)
    sigma = noise_level(levels)
    smooth = _smoothed(levels, sigma)
    steepness = gradient(smooth)
    markers = _markers(steepness)
    if markers.max() == 0:
        return markers
    labels = _flooded(smooth, markers)
    labels = _joined(labels, smooth, steepness, sigma)
    labels = _without_slivers(labels, smooth)
    return _sharpened(labels, smooth)


def noise_level(image):
    """Standard deviation (0..255) of the noise from pixel to pixel of a uint8 image."""
    ripple = np.abs(cv2.Laplacian(image, cv2.CV_16S)).ravel()
    # The kernel's weights (4, -1 x 4) have norm sqrt(20); the median of |N(0, 1)| is 0.6745.
    return float(np.median(ripple[::3])) / (0.6745 * np.sqrt(20))


def _smoothed(image, sigma):
    if sigma < 0.7:
        return image
    smooth = cv2.medianBlur(image, 5 if sigma > 4 else 3)
    if sigma > 8:
        smooth = cv2.medianBlur(smooth, 5)
    if sigma > 16:
        smooth = cv2.medianBlur(smooth, 5)
    if sigma > 1:
        smooth = cv2.bilateralFilter(smooth, 5, max(12, 1.2 * sigma), 3)
    return smooth


def gradient(image):
    """The largest channel's central difference, uint8 (H, W)."""
    padded = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    across = cv2.max(
        cv2.absdiff(padded[1:-1, 2:], padded[1:-1, :-2]),
        cv2.absdiff(padded[2:, 1:-1], padded[:-2, 1:-1]),
    )
    return cv2.max(cv2.max(across[..., 0], across[..., 1]), across[..., 2])


def _markers(steepness):
    height, width = steepness.shape
    least = max(4, min(40, int(0.0002 * height * width)))
    first = max(2.0, 2 * float(np.median(steepness)) + 1)
    markers, count = np.zeros(steepness.shape, np.int32), 0
    for level in (first, 2 * first, 4 * first, 8 * first):
        flat = (steepness <= min(level, 90)).astype(np.uint8)
        parts, pieces, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
        marked = np.bincount(pieces.ravel(), markers.ravel() > 0, parts) > 0
        new = (stats[:, cv2.CC_STAT_AREA] >= least) & ~marked
        new[0] = False
        names = np.zeros(parts, np.int32)
        names[new] = count + np.arange(1, new.sum() + 1)
        count += int(new.sum())
        markers += names[pieces]
        if level >= 90:
            break
    return markers


def _flooded(image, markers):
    """Watershed; its lines are given to a neighbour."""
    if min(image.shape[:2]) < 3:
        return markers
    labels = cv2.watershed(image, markers.copy())
    return _filled(labels)


def _filled(labels):
    """Pixels <= 0 on watershed lines and the image's frame take the largest label beside them."""
    grown = cv2.dilate(np.maximum(labels, 0).astype(np.float32), _SQUARE).astype(np.int32)
    return np.where(labels > 0, labels, grown)


def _means(labels, image, count):
    flat = labels.ravel()
    area = np.bincount(flat, minlength=count)
    total = np.stack(
        [np.bincount(flat, channel.ravel(), count) for channel in cv2.split(image)], axis=1
    )
    return total / np.maximum(area, 1)[:, None], area


def _borders(labels, reach):
    """Where two parts lie `reach` pixels left and right (or above and below) of a place.

    Returns int64 (K,) lower label * count + higher label, and flat indices (K,) of the pixels of
    the lower and the higher label.
    """
    count = int(labels.max()) + 1
    index = np.arange(labels.size).reshape(labels.shape)
    pairs, lows, highs = [], [], []
    for first, second in (
        (np.s_[:, : -2 * reach], np.s_[:, 2 * reach :]),
        (np.s_[: -2 * reach], np.s_[2 * reach :]),
    ):
        differs = labels[first] != labels[second]
        one, two = index[first][differs], index[second][differs]
        a, b = labels.ravel()[one], labels.ravel()[two]
        pairs.append(np.minimum(a, b).astype(np.int64) * count + np.maximum(a, b))
        lows.append(np.where(a < b, one, two))
        highs.append(np.where(a < b, two, one))
    return np.concatenate(pairs), np.concatenate(lows), np.concatenate(highs)


class _Union:
    """Which labels have become one. Not scipy's DisjointSet: which label names them all matters to
    what is grown from it, and has to be the last one's.
    """

    def __init__(self, count):
        self.parent = list(range(count))

    def root(self, label):
        parent = self.parent
        while parent[label] != label:
            parent[label] = parent[parent[label]]  # the way gets shorter for who comes next
            label = parent[label]
        return label

    def join(self, a, b):
        self.parent[self.root(a)] = self.root(b)

    def table(self):
        return np.array([self.root(label) for label in range(len(self.parent))], np.int32)


def _joined(labels, smooth, steepness, sigma):
    """Joins neighbours without contrast at their border, then parts anywhere of the same colour."""
    count = int(labels.max()) + 1
    # 1. The mean step across each border: noise averages out, so little is enough to be a border.
    pairs, low, high = _borders(labels, 3)
    colors = smooth.reshape(-1, 3)
    step = colors[high].astype(np.float32) - colors[low]
    present, index = np.unique(pairs, return_inverse=True)
    size = np.bincount(index)
    step = np.stack([np.bincount(index, column) for column in step.T], axis=1) / size[:, None]
    contrast = np.abs(step).max(axis=1)
    union, touching = _Union(count), []
    for pair, length, value in zip(present.tolist(), size, contrast, strict=True):
        a, b = divmod(pair, count)
        if length >= 8:
            touching.append((a, b))
        if a and length >= 3 and value < 6 + 3 * sigma / np.sqrt(length):
            union.join(a, b)
    names = union.table()
    touching = {
        tuple(sorted(pair)) for pair in names[np.array(touching, int).reshape(-1, 2)].tolist()
    }
    labels = names[labels]
    # 2. Parts that do not touch but have the same colour where they are nearest to each other, the
    # slow drift of colours over the image taken out.
    corrected = _without_drift(labels, smooth, steepness)
    means, weights = _block_means(labels, corrected)
    area = weights.sum(axis=(0, 1))
    overall = (means * weights[..., None]).sum(axis=(0, 1)) / np.maximum(area, 1e-9)[:, None]
    alive = 1 + np.flatnonzero(area[1:])
    # How much the colour of one part still varies from block to block.
    heavy = weights >= 64
    heavy[..., 0] = False
    rest = np.abs(means - overall)[heavy].max(axis=1, initial=0)
    limit = float(np.clip(max(0.6 * sigma, 3 * np.median(rest) if rest.size else 0), 8, 20))
    distance = np.abs(overall[alive, None] - overall[None, alive]).max(axis=2)
    near = np.argwhere(np.triu(distance < 3 * limit + 10, 1))
    union = _Union(count)
    for i, j in near[np.argsort(distance[near[:, 0], near[:, 1]])][:_MOST_PAIRS]:
        a, b = sorted((int(alive[i]), int(alive[j])))
        if _same_color(means, weights, a, b, 6 if (a, b) in touching else limit):
            union.join(a, b)
    return union.table()[labels]


def _block_means(labels, image):
    """Each part's mean colour in blocks, [rows, columns, count, 3], and its weight there.

    Pixels near borders hardly count, unless a part has no others.
    """
    height, width = labels.shape
    count = int(labels.max()) + 1
    names = labels.astype(np.float32)
    inside = cv2.dilate(names, _SQUARE, iterations=3) == cv2.erode(names, _SQUARE, iterations=3)
    down, over = -(-height // _BLOCK), -(-width // _BLOCK)
    cell = (np.arange(height) // _BLOCK)[:, None] * over + np.arange(width) // _BLOCK
    flat = (cell * count + labels).ravel()
    weight = np.where(inside, np.float32(1), np.float32(1e-3)).ravel()
    sums = [
        np.bincount(flat, weight * channel.ravel(), down * over * count)
        for channel in cv2.split(image)
    ]
    weight = np.bincount(flat, weight, down * over * count).reshape(down, over, count)
    means = (
        np.stack(sums, axis=1).reshape(down, over, count, 3) / np.maximum(weight, 1e-9)[..., None]
    )
    return means, weight


def _same_color(means, weights, a, b, limit):
    """True if parts a and b have the same colour in the blocks where they come nearest."""
    # A block with less than this of a part knows little of its colour.
    first, second = (
        np.argwhere(weights[..., part] >= min(16, 0.3 * weights[..., part].max()))
        for part in (a, b)
    )
    gap = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    one, two = np.nonzero(gap == gap.min())
    one, two = first[one], second[two]
    share = np.minimum(weights[one[:, 0], one[:, 1], a], weights[two[:, 0], two[:, 1], b])[:, None]
    step = means[one[:, 0], one[:, 1], a] - means[two[:, 0], two[:, 1], b]
    return np.abs((share * step).sum(axis=0) / share.sum()).max() < limit


def _without_drift(labels, smooth, steepness):
    """The image less the low-order drift that all parts share, float32."""
    height, width = labels.shape
    step = max(1, int(np.sqrt(height * width / 20000)))
    rows, columns = np.mgrid[0:height:step, 0:width:step]
    names = labels[::step, ::step].ravel()
    calm = steepness[::step, ::step].ravel() <= np.median(steepness) + 2
    x, y = 2 * columns.ravel() / width - 1, 2 * rows.ravel() / height - 1
    basis = np.stack([x, y, x * y, x * x, y * y], axis=1)[calm]
    names, colors = names[calm], smooth[::step, ::step].reshape(-1, 3)[calm].astype(np.float64)
    count = int(labels.max()) + 1
    size = np.maximum(np.bincount(names, minlength=count), 1)[:, None]

    def centred(values):
        mean = np.stack([np.bincount(names, column, count) for column in values.T], axis=1) / size
        return values - mean[names]

    inner, outer = centred(basis), centred(colors)
    normal = inner.T @ inner + 1e-3 * len(names) * np.eye(5)
    weights = np.linalg.solve(normal, inner.T @ outer)
    x, y = 2 * np.arange(width) / width - 1, (2 * np.arange(height) / height - 1)[:, None]
    x, y = np.broadcast_to(x, labels.shape), np.broadcast_to(y, labels.shape)
    drift = np.stack([x, y, x * y, x * x, y * y], axis=2).astype(np.float32) @ weights.astype(
        np.float32
    )
    return smooth - drift


def _without_slivers(labels, smooth):
    """Drops what is too small, and thin parts whose colour is a mixture of two others.

    A blurred border is a mixture of its two neighbours. A thin piece cut off from a part, mixed
    with what cut it off, goes back to that part.
    """
    count = int(labels.max()) + 1
    mean, area = _means(labels, smooth, count)
    names = labels.astype(np.float32)
    edge = cv2.dilate(names, _SQUARE) != cv2.erode(names, _SQUARE)
    width = 4 * area / np.maximum(np.bincount(labels.ravel(), edge.ravel(), count), 1)
    rename = np.arange(count, dtype=np.int32)
    rename[area < 0.5 * _LEAST * labels.size] = 0
    pairs, size = np.unique(_borders(labels, 3)[0], return_counts=True)
    beside = [set() for _ in range(count)]
    for a, b in (divmod(int(pair), count) for pair in pairs[size >= 8]):
        beside[a].add(b)
        beside[b].add(a)
    for label in np.argsort(area):
        if not rename[label] or not area[label] or width[label] > _SLIVER:
            continue
        around = [other for other in beside[label] if rename[other] and area[other] > area[label]]
        if any(
            np.isfinite(_mixtures(mean[label], mean[around[:i]], mean[a])).any()
            for i, a in enumerate(around)
        ):
            rename[label] = 0
            continue
        # How much of a neighbour is mixed into some part elsewhere of the same colour otherwise.
        apart = (rename == np.arange(count)) & (area > area[label])
        apart[[0, *around]] = False
        others = np.flatnonzero(apart)
        shares = [_mixtures(mean[label], mean[others], mean[near]) for near in around]
        if shares and others.size:
            share = np.min(shares, axis=0)
            if share.min() < 0.6:
                rename[label] = others[share.argmin()]
    rename[0] = 0
    if (rename == np.arange(count))[area > 0].all():
        return labels
    rest = rename[labels]
    return _flooded(smooth, rest) if rest.any() else labels


def _mixtures(color, ones, two, off=12):
    """The share of `two` (3,) in `color` (3,) for each of `ones` (K, 3) that it may be mixed with,
    to `off` (0..255); infinity where it is no mixture."""
    along = two - ones
    length = (along**2).sum(axis=1)
    share = ((color - ones) * along).sum(axis=1) / np.maximum(length, 1e-9)
    miss = np.abs(color - ones - share[:, None] * along).max(axis=1, initial=0)
    mixed = (length >= 4 * off**2) & (share > 0) & (share < 1) & (miss < off)
    return np.where(mixed, share, np.inf)


def _sharpened(labels, smooth, reach=4):
    """Near borders every pixel goes to the part around it whose local colour is nearest to its
    own."""
    height, width = labels.shape
    count = int(labels.max()) + 1
    # 1. Local colours, taken over three by three blocks.
    means, weights = _block_means(labels, smooth)
    overall = (means * weights[..., None]).sum(axis=(0, 1)) / np.maximum(
        weights.sum(axis=(0, 1)), 1e-9
    )[:, None]
    total = uniform_filter(means * weights[..., None], (3, 3, 1, 1), mode='constant')
    weights = uniform_filter(weights, (3, 3, 1), mode='constant')[..., None]
    local = ((total + 1e-3 * overall) / (weights + 1e-3)).reshape(-1, count, 3)
    over = means.shape[1]
    cell = (np.arange(height) // _BLOCK)[:, None] * over + np.arange(width) // _BLOCK
    names = labels.astype(np.float32)
    # 2. Near borders: itself, or the lowest or highest of the labels around.
    low = cv2.erode(names, _SQUARE, iterations=reach)
    high = cv2.dilate(names, _SQUARE, iterations=reach)
    spots = np.flatnonzero(low != high)
    colors = smooth.reshape(-1, 3)[spots].astype(np.float32)
    nearby = np.stack([labels.ravel()[spots], low.ravel()[spots], high.ravel()[spots]]).astype(
        np.int32
    )
    offset = local.astype(np.float32)[cell.ravel()[spots], nearby] - colors
    distance = np.einsum('kij,kij->ki', offset, offset)
    sharp = labels.copy()
    sharp.ravel()[spots] = nearby[distance.argmin(axis=0), np.arange(spots.size)]
    ground = overall.max(axis=1) < _BLACK
    return np.where(ground[sharp], np.int32(0), sharp)
