# SPDX-License-Identifier: Apache-2.0
"""Segmentation: the thing that was clicked."""

import cv2
import numpy as np
from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array
from diception_ros.tasks import drawing


class Segmentation:
    """Publishes segmentation/mask (mono8, soft, 0..255) and segmentation/color (rgb8).

    Without a point nothing is asked of the model and the mask is empty: a robot then knows that
    nothing is selected, which silence would not tell.
    """

    def __init__(self, advertise):
        self.mask = advertise(Image, 'segmentation/mask')
        self.color = advertise(Image, 'segmentation/color')

    def tasks(self, settings):
        return {'segmentation'} if self.mask.wanted or self.color.wanted else set()

    def publish(self, answer):
        if 'segmentation' not in answer.settings['tasks']:
            return
        soft = answer.perception.segmentation
        if soft is None:
            soft = np.zeros(answer.rgb.shape[:2], np.float32)
        if self.mask.wanted:
            mask = cv2.convertScaleAbs(soft, alpha=255)
            self.mask.publish(from_array(mask, 'mono8', answer.header))
        if self.color.wanted:
            picture = drawing.tinted(answer.rgb, 0, 1 - soft, 0.7)
            drawing.clicks(picture, answer.points)
            self.color.publish(from_array(picture, 'rgb8', answer.header))
