# SPDX-License-Identifier: Apache-2.0
"""Pose: people's skeletons on black, a disc a joint: typed by colour, or all red (published)."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from diception_ros.tasks import discs, drawing, soft_joints, typed_joints
from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.pictures import clean, resized_labels
from diception_ros.tasks.position_regions import is_soft
from diception_ros.tasks.skeleton import JOINT_COLORS, LIMB_GREY, LIMBS, hue_color
from diception_ros.tasks.task import Metric, Panel, Published, Task, Topic

_SURE_SIDES = 0.8  # chance of left and right being right, from which on it counts as known
_READ_SIZE = 1280 * 960
_SHIFT = 4  # cv2 draws at 1/16 of a pixel
# Of the published image: dim, and without reds, which are the discs'.
_LIMB_COLORS = 0.6 * hue_color(1 / 6 + 2 / 3 * np.arange(len(LIMBS)) / len(LIMBS))


@dataclass
class PersonPose:
    """One person found in an image."""

    keypoints: np.ndarray  # float32 (17, 3): x, y in pixels, score 0..1; NaN, NaN, 0 if missing
    types_known: bool = True  # False where the joints' types were inferred
    left_right_ambiguous: bool = False  # True where left and right may be swapped
    score: float = 1.0  # in [0, 1]
    label: int = 0  # of the entity it belongs to, 0 = unknown


def joints_drawn(keypoints, typed=True):
    """Which joints of (17, 3) are drawn, bool (17,): those in the image. Untyped, as people who
    annotate do: a hidden joint only next to a visible one, and none on the far side of a head."""
    shown = (keypoints[:, 2] > 0) & np.isfinite(keypoints[:, :2]).all(axis=1)
    if not typed:
        seen = keypoints[:, 2] > 1
        guessed = np.zeros(17, bool)
        guessed[LIMBS[seen[LIMBS].any(axis=1)].ravel()] = True
        guessed[:5] = False
        shown &= seen | guessed
    return shown


def draw_skeletons(people, shape, typed=True):
    """Skeleton image, float32 (H, W, 3) in [0, 1], of people (K, 17, 3); third > 0: to be drawn.

    Typed: limbs are thick and grey; a joint's disc has 4 % of the longer side of the person's box
    as radius, 2.5 px at least; where discs overlap, each pixel belongs to the nearest joint, so
    that none vanishes, and a dark seam parts those of one colour. Else as the published model
    paints: red discs (`discs.disc_radius`), coloured limbs.
    """
    image = np.zeros((*shape, 3), np.float32)
    centres, radii, colors = [], [], []
    for keypoints in people:
        shown = joints_drawn(keypoints, typed)
        drawn = np.flatnonzero(shown)
        if drawn.size == 0:
            continue
        spots = keypoints[drawn, :2]
        radius = (
            max(2.5, 0.04 * float(np.ptp(spots, axis=0).max()))
            if typed
            else discs.disc_radius(spots, shape)
        )
        fixed = np.rint(np.clip(keypoints[:, :2], -4096, 8192) * 2**_SHIFT)
        for number, (a, b) in enumerate(LIMBS):
            if shown[a] and shown[b]:
                color = (LIMB_GREY,) * 3 if typed else _LIMB_COLORS[number].tolist()
                cv2.line(
                    image,
                    fixed[a].astype(int).tolist(),
                    fixed[b].astype(int).tolist(),
                    color,
                    max(2, round(1.2 * radius)),
                    cv2.LINE_AA,
                    _SHIFT,
                )
        centres.append(spots)
        radii.append(np.full(drawn.size, radius))
        colors.append(
            JOINT_COLORS[drawn] if typed else np.tile(np.float32((1, 0, 0)), (drawn.size, 1))
        )
    if centres:
        centres, colors = np.concatenate(centres), np.concatenate(colors)
        owners = _draw_discs(image, centres, np.concatenate(radii), colors)
        if typed:
            _draw_seams(image, owners, colors)
    return image


def _draw_discs(image, centres, radii, colors):
    """Discs with soft edges over `image`; where they overlap, the nearest centre wins. Returns
    whose each pixel is, int32 (H, W), -1 = nobody's."""
    height, width = image.shape[:2]
    owners = np.full((height, width), -1, np.int32)
    # Joints on one spot would hide each other: for the question who is nearest they step apart.
    split = _apart(centres)
    nearest = np.full((height, width), np.inf, np.float32)
    discs_drawn = zip(centres, split, radii, colors, strict=True)
    for number, ((x, y), (sx, sy), radius, color) in enumerate(discs_drawn):
        reach = radius + 1
        left, right = max(0, int(x - reach)), min(width, int(x + reach) + 2)
        top, bottom = max(0, int(y - reach)), min(height, int(y + reach) + 2)
        if left >= right or top >= bottom:
            continue
        columns, rows = np.arange(left, right), np.arange(top, bottom)[:, None]
        cover = np.clip(radius + 0.5 - np.sqrt((columns - x) ** 2 + (rows - y) ** 2), 0, 1)
        distance = (columns - sx) ** 2 + (rows - sy) ** 2
        window = (slice(top, bottom), slice(left, right))
        mine = (cover > 0) & (distance < nearest[window])
        nearest[window][mine] = distance[mine]
        part = image[window]
        share = cover[mine][:, None]
        part[mine] = share * color + (1 - share) * np.minimum(part[mine], 0.6)
        owners[window][mine] = number
    return owners


def _draw_seams(image, owners, colors):
    """Parts the same joint of two people who touch by a dark line."""
    _, kinds = np.unique(colors, axis=0, return_inverse=True)
    kinds = np.append(kinds.ravel(), -1)[owners]
    for one, two in (
        (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]), (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        seam = (kinds[one] == kinds[two]) & (owners[one] != owners[two])
        image[one][seam] = image[two][seam] = 0


def _apart(centres, least=2.0):
    """Centres (K, 2) with those nearer than `least` pixels to another one pushed apart."""
    offsets = centres[:, None] - centres[None]
    distance = np.sqrt((offsets**2).sum(axis=2))
    close = np.triu(distance < least, 1)
    if not close.any():
        return centres
    moved = centres.astype(np.float64).copy()
    for a, b in np.argwhere(close):
        along = offsets[a, b] / distance[a, b] if distance[a, b] > 1e-3 else np.array((1.0, 0.0))
        push = 0.5 * (least - distance[a, b]) * along
        moved[a] += push
        moved[b] -= push
    return moved


def _is_soft(image):
    """True if no disc has an edge, however bright it is."""
    height, width = image.shape[:2]
    size = max(1, round(width * 480 / height)), 480
    if height != 480 and width < 8 * height:
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return is_soft(image / max(float(image.max()), 0.2), steep=20, least=0.25)


def colored(people, frame):
    return drawing.skeletons(frame.rgb // 3, [person.keypoints for person in people])


class Pose(Task):
    """Result: list of PersonPose."""

    kind = default = 'pose'
    field, field_type = 'poses', 'Any'
    meaning = ('list of people, each .keypoints float32 (17, 3): x, y in pixels, score; COCO '
               'order; NaN and 0 where missing')
    published = Published('[[image2pose]]', 28, 1.0)
    reading_order, after = 2, ('entities', 'semantic:person')
    topics = (
        Topic('poses', 'people and their 17 COCO joints, missing ones with NaN and score 0; in '
              'metres, too, where these are known', type='diception_ros/msg/PoseKeypointsArray',
              message='pose.pose_array'),
        Topic('poses/color', 'the same for eyes', 'rgb8', colored),
    )
    panel = Panel('Poses', "people's 17 joints", 'poses/color', 'poses')
    metrics = (Metric('pck10', '', ratio=('correct', 'joints')),)
    loss, truth_field = 'keypoints', 'people'
    color = staticmethod(colored)

    def __init__(self, member='', conventions=Conventions()):
        super().__init__(member, conventions)
        self.typed = conventions.pose_encoding == 'typed'

    def encode(self, truth, rng=None, points=None):
        """Joints out of the image are not drawn; hidden ones are."""
        return draw_skeletons(
            [person.keypoints for person in truth.people], truth.shape, self.typed
        )

    @classmethod
    def arrays(cls, result):
        people = [person.keypoints for person in result]
        return {'poses': np.stack(people) if people else np.zeros((0, 17, 3), np.float32)}

    def ideal(self, truth, **clicked):
        return [PersonPose(person.keypoints) for person in truth.people]

    def result_of(self, message):
        return [PersonPose(np.float32([(k.x, k.y, k.score) for k in person.keypoints]))
                for person in message.people]

    def summary(self, figures):
        return f'PCK@0.1 {figures["pck10"]:.0%} of the visible joints'

    def decode_beside(self, image, found):
        return self.decode(image, found.people_labels)

    def drawn(self, keypoints):
        return joints_drawn(keypoints, self.typed)

    def decode(self, image, masks=None):
        """masks: label image of the people (H, W), 0 = nobody, if known: it tells untyped joints of
        several people apart. An image much larger than 1280x960 is read at about that size."""
        image = clean(image)
        height, width = image.shape[:2]
        shrink = np.sqrt(_READ_SIZE / (height * width))
        if shrink < 0.9:
            size = max(1, round(width * shrink)), max(1, round(height * shrink))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            masks = None if masks is None else resized_labels(masks, image.shape)
        people = self._read(image, masks)
        if shrink < 0.9:
            grown = np.array((width / size[0], height / size[1]))
            for person in people:
                person.keypoints[:, :2] = (person.keypoints[:, :2] + 0.5) * grown - 0.5
        return people

    def _read(self, image, masks):
        if self.typed:
            read = soft_joints if _is_soft(image) else typed_joints
            return [
                PersonPose(keypoints, score=float(keypoints[keypoints[:, 2] > 0, 2].mean()))
                for keypoints in read.people(image)
            ]
        return [
            PersonPose(
                keypoints,
                False,
                sides < _SURE_SIDES,
                float(keypoints[keypoints[:, 2] > 0, 2].mean()),
                label,
            )
            for keypoints, sides, label in discs.people(image, masks)
        ]

    def score(self, result, truth):
        """PCK@0.1: visible joints no farther from the truth than 0.1 of their person's box.

        The box holds a person's keypoints that are in the image; its longer side counts. People
        are matched one to one so that most joints are right; what is missing is wrong. NaN without
        people.
        """
        people = [
            person.keypoints for person in truth.people if (person.keypoints[:, 2] == 2).any()
        ]
        total = sum(np.count_nonzero(keypoints[:, 2] == 2) for keypoints in people)
        if total == 0:
            return {'pck10': np.nan, 'correct': 0.0, 'joints': 0.0}
        correct = np.zeros((len(people), max(len(result), 1)))
        for row, keypoints in enumerate(people):
            inside, visible = keypoints[:, 2] > 0, keypoints[:, 2] == 2
            tolerance = 0.1 * np.ptp(keypoints[inside, :2], axis=0).max()
            for column, person in enumerate(result):
                error = np.linalg.norm(person.keypoints[:, :2] - keypoints[:, :2], axis=1)
                # NaN compares as false: a missing joint is wrong.
                correct[row, column] = np.count_nonzero((error <= max(tolerance, 0.5)) & visible)
        rows, columns = linear_sum_assignment(-correct)
        right = float(correct[rows, columns].sum())
        return {'pck10': float(right / total), 'correct': right, 'joints': float(total)}

    def constant_baseline(self, truths):
        """One person with the mean position of every joint."""
        everyone = np.array([person.keypoints for truth in truths for person in truth.people])
        keypoints = np.full((17, 3), np.nan, np.float32)
        keypoints[:, 2] = 0
        for joint in range(17 if len(everyone) else 0):
            seen = everyone[everyone[:, joint, 2] > 0, joint, :2]
            if len(seen):
                keypoints[joint] = (*seen.mean(axis=0), 1)
        return [PersonPose(keypoints)] if len(everyone) else []
