# SPDX-License-Identifier: Apache-2.0
"""Images for eyes: results as uint8 RGB (H, W, 3), numpy and OpenCV only.

Colours that tell things apart are Okabe and Ito's, which colour-blind people can tell apart, then
hues in golden steps; they depend on the id alone, so that a thing keeps its colour.
"""

import cv2
import numpy as np

PALETTES = {'viridis': cv2.COLORMAP_VIRIDIS, 'cividis': cv2.COLORMAP_CIVIDIS,
            'magma': cv2.COLORMAP_MAGMA, 'inferno': cv2.COLORMAP_INFERNO,
            'turbo': cv2.COLORMAP_TURBO, 'gray': None}
OKABE_ITO = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
             (213, 94, 0), (204, 121, 167))
SELECTED = (255, 255, 255)   # the clicked thing
LEFT, RIGHT, MIDDLE = (0, 240, 255), (255, 60, 190), (240, 240, 240)   # of a person
LIMBS = ((5, 7, LEFT), (7, 9, LEFT), (11, 13, LEFT), (13, 15, LEFT), (5, 11, LEFT),
         (6, 8, RIGHT), (8, 10, RIGHT), (12, 14, RIGHT), (14, 16, RIGHT), (6, 12, RIGHT),
         (5, 6, MIDDLE), (11, 12, MIDDLE), (0, 1, LEFT), (1, 3, LEFT), (0, 2, RIGHT), (2, 4, RIGHT))
LEAST_WIDTH = 160  # pixels: nothing can be read in a smaller image


def _distinct(count=1024):
    hues = (np.arange(count) * 0.618034) % 1.0
    values = np.where(np.arange(count) % 2, 255, 190)
    hsv = np.stack([hues * 180, np.full(count, 170), values], -1).astype(np.uint8)
    table = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    table[0] = 0
    table[1:1 + len(OKABE_ITO)] = OKABE_ITO
    return table


_DISTINCT = _distinct()


def depth(disparity, palette='viridis'):
    """Colours of a disparity (H, W) in [0, 1]; black where it is not finite."""
    known = None
    if not (disparity.min() >= 0 and disparity.max() <= 1):
        known = np.isfinite(disparity)
        disparity = np.where(known, disparity, 0).clip(0, 1)
    grey = cv2.convertScaleAbs(disparity, alpha=255)
    if PALETTES[palette] is None:
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    image = cv2.cvtColor(cv2.applyColorMap(grey, PALETTES[palette]), cv2.COLOR_BGR2RGB)
    return image if known is None else cv2.copyTo(image, known.view(np.uint8))


def normals(vectors):
    """Colours of optical-frame normals (H, W, 3): red left, green up, blue toward the camera."""
    if vectors.size and not np.isfinite(vectors.min() + vectors.max()):   # NaN: grey, as zero is
        vectors = np.nan_to_num(vectors)
    return cv2.convertScaleAbs(vectors, alpha=-127.5, beta=127.5)


def labels(label_image):
    """Colours (..., 3) of a label image (...) by id; 0 is black."""
    ids = np.asarray(label_image)
    largest = int(ids.max(initial=0))
    if largest < 256 and ids.ndim == 2 and ids.size:
        return cv2.applyColorMap(ids.astype(np.uint8), _DISTINCT[:256, None])
    if largest >= len(_DISTINCT):
        ids = np.where(ids > 0, (ids.astype(np.int64) - 1) % (len(_DISTINCT) - 1) + 1, 0)
    return _DISTINCT.take(ids, axis=0)


def color_of(label):
    """The colour (r, g, b) that `labels` gives to an id."""
    return tuple(int(v) for v in labels(label))


def tinted(image, colored, where, opacity):
    """Blend `colored` (H, W, 3), or one colour, over the image where `where` (H, W) is not 0.

    where: bool, or float in [0, 1], by which opacity is scaled.
    """
    if np.ndim(colored) < 3:
        colored = cv2.merge([np.full(image.shape[:2], v, np.uint8)
                             for v in np.broadcast_to(colored, 3)])
    if where.dtype == bool:
        mixed = cv2.addWeighted(image, 1 - opacity, colored, opacity, 0)
        return cv2.copyTo(mixed, where.view(np.uint8), image.copy())
    weight = cv2.merge([cv2.convertScaleAbs(where, alpha=255 * opacity)] * 3)
    return cv2.add(cv2.multiply(image, 255 - weight, scale=1 / 255),
                   cv2.multiply(colored, weight, scale=1 / 255))


def borders(label_image):
    """Lines between the labels of an image (H, W), bool, thick enough to be seen from afar."""
    ids = np.asarray(label_image)
    edge = np.zeros(ids.shape, bool)
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= ids[:-1] != ids[1:]
    thickness = max(1, round(ids.shape[0] / 360))
    if thickness > 1:
        edge = cv2.dilate(edge.view(np.uint8), np.ones((thickness,) * 2, np.uint8)).view(bool)
    return edge


def skeletons(image, people):
    """Draw people's keypoints (17, 3) into the image, in place: left cyan, right pink."""
    thickness = max(1, round(image.shape[0] / 240))
    for keypoints in people:
        seen = (keypoints[:, 2] > 0) & np.isfinite(keypoints[:, :2]).all(axis=1)
        spots = np.nan_to_num(keypoints[:, :2]).clip(-8192, 8192).round().astype(int).tolist()
        for first, second, color in LIMBS:
            if seen[first] and seen[second]:
                cv2.line(image, spots[first], spots[second], (0, 0, 0), thickness + 2)
                cv2.line(image, spots[first], spots[second], color, thickness, cv2.LINE_AA)
        for joint in np.flatnonzero(seen):
            side = MIDDLE if joint == 0 else LEFT if joint % 2 else RIGHT
            cv2.circle(image, spots[joint], thickness + 1, side, -1, cv2.LINE_AA)
    return image


def clicks(image, points):
    """Draw clicked points [(x, y)] into the image, in place."""
    radius = max(3, round(image.shape[0] / 80))
    for x, y in points:
        spot = round(x), round(y)
        cv2.circle(image, spot, radius + 1, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(image, spot, radius, SELECTED, 1, cv2.LINE_AA)
        cv2.circle(image, spot, max(1, radius // 3), (220, 0, 90), -1, cv2.LINE_AA)
    return image


def legend(image, entries):
    """Write [(text, colour)] into the upper left corner of the image, in place."""
    height, width = image.shape[:2]
    if width < LEAST_WIDTH or not entries:
        return image
    scale = max(0.35, height / 1200)
    (_, line), base = cv2.getTextSize('Xg', cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    step, box = line + base + 4, line
    fitting = entries[:max(1, (height // 2) // step)]
    wide = max(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
               for text, _ in fitting)
    corner = image[:step * len(fitting) + 4, :wide + box + 14]
    corner[:] = corner // 3
    for number, (text, color) in enumerate(fitting):
        top = 4 + number * step
        cv2.rectangle(image, (4, top), (4 + box, top + box), color, -1)
        cv2.putText(image, text, (8 + box, top + box), cv2.FONT_HERSHEY_SIMPLEX, scale,
                    (255, 255, 255), 1, cv2.LINE_AA)
    return image


def insets(image, small):
    """Set [(text, result, draw)] as small images along the lower edge, from the right, in place;
    draw(result) makes the colours of a result that is as large as the image."""
    height, width = image.shape[:2]
    if width < LEAST_WIDTH or height < LEAST_WIDTH // 2:
        return image
    w, h = width // 5, height // 5
    for number, (text, result, draw) in enumerate(small):
        x, y = width - (number + 1) * (w + 4), height - h - 4
        image[y - 1:y + h + 1, x - 1:x + w + 1] = 255
        image[y:y + h, x:x + w] = draw(cv2.resize(result, (w, h)))
        cv2.putText(image, text, (x + 3, y + h - 4), cv2.FONT_HERSHEY_SIMPLEX,
                    max(0.35, height / 1400), (255, 255, 255), 1, cv2.LINE_AA)
    return image


def overlay(image, perception, points=(), categories=(), found=None, small=()):
    """Finish what `overlay_ground` has drawn, in place: people, clicks, a legend, and `insets` of
    `small`. points: clicks [(x, y)] in pixels. found: label image (H, W) of the categories, 1 + the
    index in `categories`, or None.
    """
    entries = []
    if found is not None:
        entries += [(name, color_of(label)) for label, name in enumerate(categories, 1)]
    if perception.segmentation is not None:
        entries.append(('clicked', SELECTED))
    if perception.poses:
        skeletons(image, [person.keypoints for person in perception.poses])
        entries += [('left', LEFT), ('right', RIGHT)]
    clicks(image, points)
    return insets(legend(image, entries), small)


def overlay_ground(rgb, perception, found=None, opacity=0.5):
    """Draw over a copy of the image what of an overlay lies under people, clicks, the legend and
    the small images: categories tinted, entities outlined, the clicked thing white."""
    image = rgb.copy()
    if found is not None:
        image = tinted(image, labels(found), found > 0, opacity)
    if perception.entities is not None:
        ids = perception.entities.labels
        image = cv2.copyTo(labels(ids), borders(ids).view(np.uint8), image)
    if perception.segmentation is not None:
        image = tinted(image, SELECTED, perception.segmentation, opacity)
        edge = borders(perception.segmentation > 0.5).view(np.uint8)
        image = cv2.max(image, cv2.merge([255 * edge] * 3))  # SELECTED is white
    return image
