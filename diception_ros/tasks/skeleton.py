# SPDX-License-Identifier: Apache-2.0
"""The human skeleton as images show it: 17 COCO joints, their limbs and their colours."""

import numpy as np

JOINTS = ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder',
          'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip',
          'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle')

# COCO's limbs, without the two that would only double the head's.
LIMBS = np.array(((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6),
                  (5, 7), (7, 9), (6, 8), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5),
                  (4, 6)))

# The length of each limb of LIMBS as a fraction of a standing adult's height.
LIMB_LENGTHS = np.array((0.24, 0.245, 0.24, 0.245, 0.11, 0.30, 0.30, 0.195, 0.17, 0.145, 0.17,
                         0.145, 0.04, 0.03, 0.03, 0.06, 0.06, 0.15, 0.15))


def _reaches():
    reach = np.full((17, 17), np.inf)
    np.fill_diagonal(reach, 0)
    for (a, b), length in zip(LIMBS, LIMB_LENGTHS, strict=True):
        reach[a, b] = reach[b, a] = length
    for middle in range(17):
        reach = np.minimum(reach, reach[:, middle, None] + reach[None, middle])
    return reach


# The farthest two joints of a person can be apart, as a fraction of their height. [17, 17]
REACHES = _reaches()

# Joint after mirroring the image.
MIRROR = np.array((0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15))

# 17 pure hues, evenly round the wheel: a hue survives dimming (black) and mixing with the grey
# limbs, so a blurred disc still says which joint it is. Left and right of a pair are 106 degrees
# apart; neighbours on the wheel are joints of different parts of the body.
JOINT_HUES = np.arange(17) * 5 % 17 / 17   # in turns, 0 = red


def hue_color(turn):
    """The purest colour float32 (..., 3) in [0, 1] of a hue in turns."""
    steps = 6 * np.asarray(turn)[..., None] + np.array((0, 4, 2))
    return np.clip(np.abs(steps % 6 - 3) - 1, 0, 1).astype(np.float32)


JOINT_COLORS = hue_color(JOINT_HUES)
LIMB_GREY = 0.3
