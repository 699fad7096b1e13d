# SPDX-License-Identifier: Apache-2.0
"""Panoptic: what is where and which one is it, from the images of entities and of categories
together."""

from dataclasses import replace

import numpy as np

from diception_ros.tasks.entities import EntityMap, described, means, overlaps
from diception_ros.tasks.truth import STUFF

_LEAST_AREA = 0.001  # of the image: smaller true segments are not counted


def label_image(strengths, categories, least=0.5):
    """One label image of several categories, uint8 (H, W): 1 + the place in `categories`, 0 = none.

    strengths: {category: float (H, W) in [0, 1]}, at least one of them, the brightness of the
    semantic images; where several are above `least`, the brightest wins.
    """
    shape = next(iter(strengths.values())).shape
    labels, best = np.zeros(shape, np.uint8), np.full(shape, least, np.float32)
    for name, strength in strengths.items():
        wins = strength > best  # false for NaN
        np.copyto(labels, np.uint8(1 + categories.index(name)), where=wins)
        np.copyto(best, strength, where=wins, casting='same_kind')
    return labels


def with_categories(entities, strengths, least=0.35):
    """The same entities, each with the category whose image is brightest on it.

    The score is then that image's mean brightness on the entity; under `least` the category
    stays unknown, ''.
    """
    if not strengths or not entities.instances:
        return entities
    names, brightness = list(strengths), means(entities.labels, strengths.values())
    named = []
    for instance in entities.instances:
        chances = brightness[:, instance.label]
        best = int(chances.argmax())
        known = chances[best] >= least
        named.append(
            replace(
                instance,
                category=names[best] if known else '',
                score=float(min(chances[best], 1)) if known else instance.score,
            )
        )
    return EntityMap(entities.labels, named, entities.valid)


def joined(instances, images):
    """One EntityMap of the instances of several categories, each with its category; where they
    overlap, the smaller one is in front. None of none.

    instances: {category: EntityMap}, from images in which colours tell instances apart.
    images: {category: float (H, W, 3)}, those images.
    """
    every = [(one, category) for category, found in instances.items() for one in found.instances]
    if not instances:
        return None
    shape = next(iter(instances.values())).labels.shape
    labels, colors = np.zeros(shape, np.int32), np.zeros((*shape, 3), np.float32)
    names = ['']
    for one, category in sorted(every, key=lambda pair: -pair[0].area):
        where = instances[category].labels == one.label
        labels[where], colors[where] = len(names), images[category][where]
        names.append(category)
    present = np.unique(labels[labels > 0])  # one may be hidden behind others
    found = described(labels, colors)
    named = [replace(one, category=names[before])
             for one, before in zip(found.instances, present, strict=True)]
    return EntityMap(found.labels, named, any(one.valid for one in instances.values()))


def panoptic_counts(entities, truth):
    """What panoptic quality is made of: {category: [sum of IoU, hits, false ones, missed ones]}.

    A hit is a true segment and a found one of its category with an IoU over 0.5. Stuff is one
    segment a category; entities without a category count for nothing.
    """
    names = {instance.label: instance.category for instance in entities.instances}
    found = np.zeros(max(names, default=0) + 1, np.int32)
    for label, category in names.items():
        # All parts of one kind of stuff are one segment: the first's label.
        first = next(other for other, name in names.items() if name == category)
        found[label] = first if category in STUFF else label if category else 0
    table, true_area, found_area = overlaps(truth.instances, found[entities.labels])
    ious = table / np.maximum(true_area[:, None] + found_area[None] - table, 1)
    counts, hit = {}, set()
    for label, category in truth.categories.items():
        if label >= len(true_area) or true_area[label] < _LEAST_AREA * truth.instances.size:
            continue
        tally = counts.setdefault(category, [0.0, 0, 0, 0])
        best = int(ious[label, 1:].argmax()) + 1 if ious.shape[1] > 1 else 0
        if best and ious[label, best] > 0.5 and names[best] == category:
            tally[0] += float(ious[label, best])
            tally[1] += 1
            hit.add(best)
        else:
            tally[3] += 1
    for label in np.flatnonzero(found_area):
        if label and label not in hit and found_area[label] >= _LEAST_AREA * truth.instances.size:
            counts.setdefault(names[label], [0.0, 0, 0, 0])[2] += 1
    return counts


def panoptic_quality(counts):
    """PQ = SQ x RQ, averaged over categories, of a list of `panoptic_counts`, one an image."""
    total = {}
    for image in counts:
        for category, tally in image.items():
            total[category] = np.add(total.get(category, 0), tally)
    figures = [
        (iou / max(hits, 1), hits / (hits + 0.5 * false + 0.5 * missed))
        for iou, hits, false, missed in total.values()
        if hits + missed
    ]
    if not figures:
        return {'pq': np.nan, 'sq': np.nan, 'rq': np.nan}
    return {
        'pq': float(np.mean([sq * rq for sq, rq in figures])),
        'sq': float(np.mean([sq for sq, rq in figures if rq] or [0.0])),
        'rq': float(np.mean([rq for _, rq in figures])),
    }


def labels_of(entities, mask, least=0.5):
    """The label image of those entities that lie in `mask`, bool (H, W), to more than `least`;
    else 0."""
    (share,) = means(entities.labels, [np.asarray(mask, bool)])
    kept = np.where(share > least, np.arange(share.size), 0).astype(np.int32)
    kept[0] = 0
    return kept[entities.labels]
