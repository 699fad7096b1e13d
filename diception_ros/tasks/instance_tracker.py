# SPDX-License-Identifier: Apache-2.0
"""Entities keep their number from frame to frame, so that a robot can follow one."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from diception_ros.tasks.entities import EntityMap, overlaps
from diception_ros.tasks.pictures import resized_labels

_SAMPLE = 160_000  # pixels of an image, at least, that are compared


class InstanceTracker:
    """Gives each entity the label of the one it overlaps most in the frame before.

    What is new gets a new label; one that was away for up to `max_age` frames gets its own again
    if it comes back where it was and nothing else has been seen there. Labels are `max_label` at
    most, so that they fit into a mono16 image.
    """

    def __init__(self, min_iou=0.3, max_age=10, max_label=65535):
        self.min_iou = min_iou  # IoU from which on it is the same one
        self.max_age = max_age
        self.max_label = max_label
        self.last = None  # label image int32 of what was seen last, per n-th pixel
        self.age = {}  # label -> frames since it was seen
        self.next = 1

    def update(self, entities):
        """The same EntityMap with labels that last."""
        every = (slice(None, None, max(1, int(np.sqrt(entities.labels.size / _SAMPLE)))),) * 2
        labels = entities.labels[every]
        names = np.zeros(int(entities.labels.max(initial=0)) + 1, np.int32)
        if self.last is not None:
            last = resized_labels(self.last, labels.shape)
            known = np.flatnonzero(np.bincount(last.ravel()))
            compact = np.zeros(int(known[-1]) + 1, np.int32)
            compact[known] = np.arange(known.size)
            table, now, before = overlaps(labels, compact[last])
            iou = table / np.maximum(now[:, None] + before[None] - table, 1)
            iou[0] = 0
            iou[:, known == 0] = 0
            for row, column in zip(*linear_sum_assignment(-iou), strict=True):
                if iou[row, column] >= self.min_iou:
                    names[row] = known[column]
        for instance in entities.instances:
            if names[instance.label] == 0:
                names[instance.label] = self._new()
        self._remember(names[labels], {int(names[one.label]) for one in entities.instances})
        return EntityMap(
            names[entities.labels],
            [
                replace(instance, label=int(names[instance.label]))
                for instance in entities.instances
            ],
            entities.valid,
        )

    def _new(self):
        while self.next in self.age:
            self.next = self.next % self.max_label + 1
        label, self.next = self.next, self.next % self.max_label + 1
        self.age[label] = 0
        return label

    def _remember(self, shown, present):
        self.age = {
            label: 0 if label in present else age + 1
            for label, age in self.age.items()
            if label in present or age < self.max_age
        }
        if self.last is None or self.last.shape != shown.shape:
            self.last = shown.copy()
            return
        # What has gone stays where it was, under what is there now.
        away = [label for label, age in self.age.items() if age]
        self.last = np.where((shown == 0) & np.isin(self.last, away), self.last, shown)
