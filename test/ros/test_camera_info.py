# SPDX-License-Identifier: Apache-2.0
"""From a CameraInfo to the camera of an image, and to the CameraInfo that goes out with it."""

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from diception_ros.bags import rosbag2 as bags
from diception_ros.ros.camera_info import CameraCache, camera_of

HEADER = Header(frame_id='camera')


def info_of(**changes):
    """Return the CameraInfo of a distorting 1280x960 camera."""
    message = CameraInfo(width=1280, height=960, distortion_model='plumb_bob',
                         d=[-0.2, 0.05, 0.001, -0.001, 0.0], r=np.eye(3).ravel(),
                         k=[1200.0, 0, 640, 0, 1200, 480, 0, 0, 1],
                         p=[1100.0, 0, 650, 0, 0, 1100, 470, 0, 0, 0, 1, 0])
    for name, value in changes.items():
        setattr(message, name, value)
    return message


WINDOW = {'binning_x': 2, 'binning_y': 2, 'roi': RegionOfInterest(
    x_offset=100, y_offset=60, width=640, height=400, do_rectify=True)}


@pytest.mark.parametrize('rectified', [False, True])
def test_a_pixel_of_the_window_sees_along_the_ray_of_its_place_on_the_sensor(rectified):
    """A lens that bends: the ray is that of the full picture, at 100 + 2 u, 60 + 2 v."""
    full = camera_of(info_of(), (1280, 960), rectified)[0]
    window = camera_of(info_of(**WINDOW), (320, 200), rectified)[0]
    assert window.size == (320, 200) and window.distorted != rectified
    pixels = np.array([[0, 0], [319, 199], [40, 150]])
    np.testing.assert_allclose(window.unproject(pixels), full.unproject(pixels * 2 + (100, 60)),
                               atol=1e-5)


@pytest.mark.parametrize('size, changes', [
    ((1280, 960), {}), ((320, 200), WINDOW), ((640, 480), {'binning_x': 2, 'binning_y': 2}),
    ((160, 100), WINDOW), ((640, 480), {}), ((1280, 960), {'binning_x': 2, 'binning_y': 2})],
    ids=['as it is', 'window', 'binned', 'window resampled', 'resampled', 'K of the binned'])
@pytest.mark.parametrize('rectified', [False, True])
def test_who_reads_what_goes_out_gets_the_very_camera(size, changes, rectified):
    """Read a second time, nothing is applied twice, and size, ROI and binning agree."""
    info = info_of(**changes)
    model, out, _ = CameraCache().camera_for(info, HEADER, size, rectified)
    assert (out.width, out.height) == size and out.header == HEADER
    assert {out.binning_x, out.binning_y} <= {0, 1}
    assert out.roi == RegionOfInterest()
    assert out.d == info.d and out.distortion_model == info.distortion_model
    again, _, meant = CameraCache().camera_for(out, HEADER, size, rectified)
    np.testing.assert_array_equal(again.K, model.K)
    used = out.p.reshape(3, 4)[:, :3] if rectified else out.k.reshape(3, 3)
    np.testing.assert_array_equal(used, model.K)
    assert meant == ''


def test_the_camera_is_worked_out_once_and_anew_when_anything_changes():
    cache = CameraCache()
    first = cache.camera_for(info_of(), HEADER, (1280, 960), False)[0]
    assert cache.camera_for(info_of(), HEADER, (1280, 960), False)[0] is first
    assert cache.camera_for(info_of(), HEADER, (1280, 960), True)[0] is not first
    binned = cache.camera_for(info_of(binning_x=2, binning_y=2), HEADER, (640, 480), False)[0]
    assert binned.K[0, 0] == 600
    region = RegionOfInterest(x_offset=200, y_offset=0, width=1080, height=960)
    cropped = cache.camera_for(info_of(roi=region), HEADER, (1080, 960), False)[0]
    assert cropped.K[0, 2] == 440


@pytest.mark.parametrize('changes, words', [
    ({'k': [0.0] * 9}, 'not calibrated'),
    ({'k': [0.0] * 9, **WINDOW}, 'not calibrated'),
    ({'width': 0, 'height': 0}, 'size is 0x0'),
    ({'k': [float('nan')] * 9, **WINDOW}, 'not calibrated'),
    ({'k': [1e300] * 9, **WINDOW}, 'out of this world'),
])
def test_a_camera_that_cannot_be_is_refused_for_every_image(changes, words):
    cache = CameraCache()
    for _ in range(2):
        with pytest.raises(ValueError, match=words):
            cache.camera_for(info_of(**changes), HEADER, (320, 200 if 'roi' in changes else 240),
                             False)


def test_the_made_up_camera_s_own_camera_info_is_that_of_its_images():
    K = np.array([[100.0, 0, 31.5], [0, 100, 23.5], [0, 0, 1]])
    model, _, _, meant = camera_of(bags.camera_info(bags.header(0, 'camera'), K, (64, 48)),
                                   (64, 48))
    np.testing.assert_array_equal(model.K, K)
    assert meant == ''
