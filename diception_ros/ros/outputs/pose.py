# SPDX-License-Identifier: Apache-2.0
"""Pose: people and their 17 COCO joints, in pixels and, where metres are known, in space."""

import numpy as np
from geometry_msgs.msg import Point
from sensor_msgs.msg import RegionOfInterest

from diception_ros.msg import Keypoint, PoseKeypoints, PoseKeypointsArray


def pose_array(people, answer):
    """Make the message of all people, empty where nobody is."""
    return PoseKeypointsArray(header=answer.header,
                              people=[person(one, answer) for one in people])


def person(found, answer):
    """Make the message of one person."""
    height, width = answer.rgb.shape[:2]
    places = answer.joints_in_space(found.keypoints)
    keypoints = [
        Keypoint(x=float(x), y=float(y), score=float(score), visible=bool(score > 0),
                 position=Point(x=float(place[0]), y=float(place[1]), z=float(place[2])))
        for (x, y, score), place in zip(found.keypoints, places)]
    known = found.keypoints[found.keypoints[:, 2] > 0, :2]
    box = RegionOfInterest()
    if len(known):
        left, top = np.floor(known.min(axis=0).clip(0, (width - 1, height - 1))).astype(int)
        right, bottom = np.ceil(known.max(axis=0).clip(0, (width - 1, height - 1))).astype(int)
        box = RegionOfInterest(x_offset=int(left), y_offset=int(top),
                               width=int(right - left) + 1, height=int(bottom - top) + 1)
    return PoseKeypoints(keypoints=keypoints, types_known=bool(found.types_known),
                         left_right_ambiguous=bool(found.left_right_ambiguous),
                         score=float(found.score), bounding_box=box,
                         label=int(found.label) or answer.entity_under(found.keypoints))
