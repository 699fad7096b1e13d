# SPDX-License-Identifier: Apache-2.0
"""The human skeleton as pictures show it: 17 COCO joints, their limbs and their colours."""

import numpy as np

JOINTS = ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder',
          'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip',
          'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle')

# COCO's limbs, without the two that would only double the head's.
LIMBS = ((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (7, 9),
         (6, 8), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6))

# Joint after mirroring the picture.
MIRROR = np.array((0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15))

# 17 of the 18 colours other than white whose brightest channel is 1 and whose others are 0, 1/2 or 1:
# a colour divided by its brightest channel still says which joint it is, however dim a model paints
# it, and grey (the limbs) stays apart. Left and right of a pair, and neighbours, are far apart.
JOINT_COLORS = np.array((
    (1, 1, 0),                      # nose
    (0, 1, 1), (1, 0, 1),           # eyes
    (0, 0.5, 1), (1, 0.5, 0.5),     # ears
    (0, 1, 0), (1, 0, 0.5),         # shoulders
    (0.5, 0.5, 1), (1, 0.5, 0),     # elbows
    (0, 0, 1), (1, 0, 0),           # wrists
    (0.5, 1, 0.5), (1, 0.5, 1),     # hips
    (0, 1, 0.5), (0.5, 0, 1),       # knees
    (0.5, 1, 1), (0.5, 1, 0),       # ankles
), np.float32)
LIMB_GREY = 0.3
