# SPDX-License-Identifier: Apache-2.0
"""Pixels to rays and points to pixels, straight and through distorting lenses."""

import numpy as np
import pytest

from diception_ros.geometry import CameraModel
from diception_ros.geometry.camera import matrices_of_image

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


# ---- a CameraInfo's matrices, brought to the image

FULL = [1200.0, 0, 640, 0, 1200, 480, 0, 0, 1]  # of 1280x960
PROJECTION = [1100.0, 0, 650, -110, 0, 1100, 470, 0, 0, 0, 1, 0]


def brought(image_size, binning=(0, 0), roi=(0, 0, 0, 0), K=FULL, P=PROJECTION, size=(1280, 960)):
    return matrices_of_image(K, P, size, image_size, binning, roi)


@pytest.mark.parametrize('image_size, binning, roi, focal, centre', [
    ((1280, 960), (0, 0), (0, 0, 0, 0), (1200, 1200), (640, 480)),
    ((1280, 960), (1, 1), (0, 0, 1280, 960), (1200, 1200), (640, 480)),
    ((640, 480), (2, 2), (0, 0, 0, 0), (600, 600), (320, 240)),
    ((320, 480), (4, 2), (0, 0, 0, 0), (300, 600), (160, 240)),
    ((640, 480), (0, 0), (100, 60, 640, 480), (1200, 1200), (540, 420)),
    ((320, 200), (2, 2), (100, 60, 640, 400), (600, 600), (270, 210)),
    ((333, 250), (3, 3), (7, 9, 1000, 751), (400, 400), (211, 157)),  # rounded down
    ((334, 251), (3, 3), (7, 9, 1000, 751), (400, 400), (211, 157)),  # and up
    ((1180, 900), (0, 0), (100, 60, 0, 0), (1200, 1200), (540, 420)),
])
def test_roi_and_binning_are_applied_as_image_geometry_does(
        image_size, binning, roi, focal, centre):
    K, P, meant = brought(image_size, binning, roi)
    np.testing.assert_allclose(K, [[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
    steps = np.maximum(binning, 1)
    np.testing.assert_allclose(P, [[1100 / steps[0], 0, (650 - roi[0]) / steps[0], -110 / steps[0]],
                                   [0, 1100 / steps[1], (470 - roi[1]) / steps[1], 0],
                                   [0, 0, 1, 0]])
    assert meant == ''


@pytest.mark.parametrize('size, image_size, binning, roi, K, expected, words', [
    # A driver that fills in all of the binned image; and one that does so with K alone
    ((640, 480), (640, 480), (2, 2), (0, 0, 0, 0), (600, 320, 240), (600, 320, 240),
     'of the image'),
    ((1280, 960), (640, 480), (2, 2), (0, 0, 0, 0), (600, 320, 240), (600, 320, 240),
     'of the binned sensor'),
    ((1280, 960), (320, 240), (2, 2), (200, 100, 640, 480), (600, 320, 240), (600, 220, 190),
     'of the binned sensor'),
    # A driver that fills in the image's size, but K of the full sensor
    ((640, 480), (640, 480), (2, 2), (0, 0, 0, 0), (1200, 640, 480), (600, 320, 240),
     'of the full sensor'),
    ((640, 480), (640, 480), (0, 0), (320, 240, 640, 480), (1200, 640, 480), (1200, 320, 240),
     'of the full sensor'),
    # A ROI that is said, but was not cut out
    ((1280, 960), (1280, 960), (0, 0), (320, 240, 640, 480), (1200, 640, 480), (1200, 640, 480),
     'of the image'),
])
def test_what_a_driver_means_is_told_by_the_image_s_size_and_said(
        size, image_size, binning, roi, K, expected, words):
    focal, x, y = K
    K, _, meant = brought(image_size, binning, roi, [focal, 0, x, 0, focal, y, 0, 0, 1], size=size)
    assert (K[0, 0], K[0, 2], K[1, 2]) == expected
    assert f'K is taken as {words}' in meant and '\n' not in meant


@pytest.mark.parametrize('image_size, binning, roi', [
    ((640, 480), (0, 0), (0, 0, 0, 0)),
    ((320, 240), (2, 2), (0, 0, 0, 0)),
    ((320, 200), (0, 0), (100, 60, 640, 400)),
    ((2560, 1920), (0, 0), (0, 0, 0, 0)),
])
def test_a_resampled_image_sees_what_the_driver_s_own_image_sees(image_size, binning, roi):
    """The ray through a corner of the image stays, where the pixels change their size."""
    came = np.array(roi[2:] if any(roi) else (1280, 960)) / np.maximum(binning, 1)
    own, _, _ = brought(tuple(came.astype(int)), binning, roi)
    resampled, P, meant = brought(image_size, binning, roi)
    for corner, new in (((-0.5, -0.5), (-0.5, -0.5)), (came - 0.5, np.array(image_size) - 0.5)):
        np.testing.assert_allclose((corner - own[:2, 2]) / own[[0, 1], [0, 1]],
                                   (new - resampled[:2, 2]) / resampled[[0, 1], [0, 1]], atol=1e-9)
    assert meant == '' and P[0, 3] == pytest.approx(-110 * resampled[0, 0] / 1200)


@pytest.mark.parametrize('image_size, binning, roi, words', [
    ((640, 400), (0, 0), (0, 0, 0, 0), 'the image is 640x400: another shape'),
    ((480, 640), (2, 2), (0, 0, 0, 0), 'its binning 2x2, the image is 480x640: another shape'),
    ((320, 240), (0, 0), (100, 60, 640, 480), 'it may be either'),
    ((640, 480), (0, 0), (1000, 60, 640, 480), 'not within'),
    ((640, 480), (0, 0), (1280, 0, 0, 0), 'not within'),
])
def test_a_camera_info_that_is_of_another_image_is_refused(image_size, binning, roi, words):
    with pytest.raises(ValueError, match=words) as error:
        brought(image_size, binning, roi)
    assert '\n' not in str(error.value) and str(error.value).startswith('camera_info: its size is')


def test_matrices_without_calibration_stay_zero():
    K, P, _ = brought((320, 200), (2, 2), (100, 60, 640, 400), K=[0.0] * 9)
    assert not K.any() and P[0, 2] == 275
    K, P, _ = brought((320, 200), (2, 2), (100, 60, 640, 400), P=[0.0] * 12)
    assert not P.any() and K[0, 2] == 270
