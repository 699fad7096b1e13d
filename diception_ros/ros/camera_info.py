# SPDX-License-Identifier: Apache-2.0
"""The one way from a CameraInfo to the camera of an image: its lens, and its own CameraInfo.

The message may be rclpy's or one read from a bag; nothing of ROS is imported.
"""

from diception_ros.geometry.camera import CameraModel, matrices_of_image


def camera_of(info, size, rectified=False):
    """Bring a CameraInfo to an image of `size` (width, height) in pixels.

    Returns the CameraModel of the image, its matrices K (3, 3) and P (3, 4), and a line about what
    was taken otherwise than CameraInfo's comments say, or ''. rectified: the image is rectified,
    so P describes it; its ROI is that of the raw image, as image_proc makes it, also with
    do_rectify. Raises ValueError, one line, where the CameraInfo cannot be that of the image.
    """
    roi = info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height
    K, P, meant = matrices_of_image(info.k, info.p, (info.width, info.height), size,
                                    (info.binning_x, info.binning_y), roi)
    if min(info.width, info.height) < 1:
        size = info.width, info.height  # CameraModel refuses it
    return CameraModel(K, size, info.d, info.r, P, info.distortion_model, rectified), K, P, meant


class CameraCache:
    """The camera of the last image: worked out anew only when a calibration or a size changes.

    For the thread that answers frames.
    """

    def __init__(self):
        self._key, self._found = None, None

    def camera_for(self, info, header, size, rectified):
        """Return (CameraModel, CameraInfo of the image with `header`, line); see `camera_of`.

        The CameraInfo agrees with the image in size, K and P, without ROI and binning. An error is
        raised anew for every image.
        """
        roi = info.roi
        key = (size, rectified, info.width, info.height, info.distortion_model, tuple(info.k),
               tuple(info.d), tuple(info.r), tuple(info.p), info.binning_x, info.binning_y,
               roi.x_offset, roi.y_offset, roi.width, roi.height)
        if key != self._key:
            self._key, self._found = None, camera_of(info, size, rectified)
            self._key = key
        model, K, P, meant = self._found
        return model, type(info)(header=header, width=size[0], height=size[1], k=K.ravel(),
                                 d=info.d, r=info.r, p=P.ravel(),
                                 distortion_model=info.distortion_model), meant
