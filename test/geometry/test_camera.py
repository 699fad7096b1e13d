# SPDX-License-Identifier: Apache-2.0
"""Pixels to rays and points to pixels, straight and through distorting lenses."""

import numpy as np
import pytest

from diception_ros.geometry import CameraModel

K = [520.0, 0, 319.5, 0, 510.0, 239.5, 0, 0, 1]
LENSES = {
    'pinhole': ((), ''),
    'plumb_bob': ((-0.3, 0.1, 0.001, -0.001, 0.0), 'plumb_bob'),
    'rational_polynomial': ((0.1, -0.2, 0.001, 0.0, 0.05, 0.1, 0.02, 0.01), 'rational_polynomial'),
    'equidistant': ((-0.05, 0.01, -0.003, 0.001), 'equidistant'),
    'fisheye': ((0.0, 0.0, 0.0, 0.0), 'fisheye'),
}


@pytest.fixture(params=list(LENSES))
def camera(request):
    D, model = LENSES[request.param]
    return CameraModel(K, (160, 120), D, model=model)


def test_projecting_the_rays_gives_every_pixel_back(camera):
    x, y = camera.rays()
    assert x.shape == (120, 160) and x.dtype == np.float32
    points = 3 * np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    v, u = np.mgrid[:120, :160]
    pixels = camera.project(points)
    assert np.isfinite(pixels).all()
    np.testing.assert_allclose(pixels, np.stack([u, v], -1).reshape(-1, 2), atol=0.05)


def test_the_principal_ray_goes_straight_ahead(camera):
    np.testing.assert_allclose(camera.project([[0, 0, 2.0]]), [[319.5, 239.5]], atol=1e-6)
    np.testing.assert_allclose(camera.unproject([[319.5, 239.5]]), [[0, 0]], atol=1e-6)


def test_what_is_behind_or_unknown_has_no_pixel(camera):
    points = [[0, 0, -1], [0, 0, 0], [np.nan, 0, 1], [np.inf, 0, 1]]
    assert np.isnan(camera.project(points)).all()
    assert not camera.contains(camera.project(points)).any()
    assert camera.project(np.zeros((0, 3))).shape == (0, 2)
    assert np.isnan(camera.unproject([[np.nan, 3]])).all()


def test_points_far_off_the_axis_are_not_folded_back_into_the_picture():
    camera = CameraModel(K, (640, 480), LENSES['plumb_bob'][0])
    angles = np.radians(np.arange(1, 89))
    points = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], -1)
    columns = camera.project(points)[:, 0]
    seen = np.isfinite(columns)
    assert seen[:30].all() and not seen[-10:].any()
    assert (np.diff(columns[seen]) > 0).all()


def test_a_resampled_picture_sees_along_the_same_rays():
    camera = CameraModel(K, (640, 480), LENSES['plumb_bob'][0])
    half = camera.resized((320, 240))
    # A pixel of the half picture covers four of the whole: it lies in the middle of them.
    np.testing.assert_allclose(half.unproject([[10, 20]]), camera.unproject([[20.5, 40.5]]),
                               atol=1e-5)
    assert camera.resized((320, 240)) is half and camera.resized((640, 480)) is camera


def test_rectified_pictures_are_described_by_P_alone():
    P = [400.0, 0, 300, -40, 0, 400, 200, 0, 0, 0, 1, 0]
    camera = CameraModel(K, (640, 480), LENSES['plumb_bob'][0], np.eye(3), P, rectified=True)
    assert not camera.distorted
    np.testing.assert_allclose(camera.project([[1, 0.5, 2]]), [[500, 300]])


def test_the_nearest_point_of_a_pixel_wins_in_a_sparse_depth_picture():
    camera = CameraModel(K, (640, 480))
    depth = camera.depth_of([[0, 0, 5.0], [0, 0, 2.0], [0, 0, 3.0], [0, 0, -1.0], [9, 9, 1.0]])
    assert depth[np.isfinite(depth)].tolist() == [2.0]
    assert np.isnan(camera.depth_of(np.zeros((0, 3)))).all()


@pytest.mark.parametrize('arguments, words', [
    ({'K': [0.0] * 9}, 'not calibrated'),
    ({'K': [1.0] * 4}, 'K has 4 numbers'),
    ({'K': [np.nan] * 9}, 'not calibrated'),
    ({'K': [500, 0, 1e300, 0, 500, 240, 0, 0, 1]}, 'out of this world'),
    ({'K': [1e-300, 0, 320, 0, 500, 240, 0, 0, 1]}, 'out of this world'),
    ({'D': [1e300] * 5}, 'too large'),
    ({'size': (0, 480)}, 'size is 0x480'),
    ({'D': [0.1, 0.1, 0.1]}, 'D has 3'),
    ({'D': [0.1] * 5, 'model': 'equidistant'}, '4 coefficients'),
    ({'D': [0.1] * 5, 'model': 'mirror'}, "unknown distortion_model 'mirror'"),
    ({'D': [np.nan] * 5}, 'not finite'),
    ({'rectified': True}, 'P is empty'),
])
def test_a_camera_that_cannot_be_used_says_why_in_one_line(arguments, words):
    with pytest.raises(ValueError, match=words) as error:
        CameraModel(**{'K': K, 'size': (640, 480), **arguments})
    assert '\n' not in str(error.value) and str(error.value).startswith('camera_info')
