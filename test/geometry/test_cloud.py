# SPDX-License-Identifier: Apache-2.0
"""Clouds: where the points are, how they are packed, and which pixels fly."""

import struct

import cv2
import numpy as np
import pytest

from diception_ros.geometry import CameraModel, flying_pixels, point_cloud


def test_points_lie_where_the_depth_says(room):
    rgb = np.random.default_rng(0).integers(0, 256, (*room.depth.shape, 3), np.uint8)
    cloud = point_cloud(room.depth, room.K, rgb, room.normals, organised=True, flying=True)
    assert cloud.data.shape == (480, 640, 7) and cloud.is_dense
    assert cloud.fields == ('x', 'y', 'z', 'rgb', 'normal_x', 'normal_y', 'normal_z')
    x, y, z, colour, *normal = struct.unpack_from('<fffIfff', cloud.tobytes(),
                                                  100 * cloud.row_step + 200 * cloud.point_step)
    depth = room.depth[100, 200]
    expected = [(200 - 319.5) / 520 * depth, (100 - 239.5) / 520 * depth, depth]
    np.testing.assert_allclose([x, y, z], expected, rtol=1e-5)
    assert [colour >> 16, colour >> 8 & 255, colour & 255] == rgb[100, 200].tolist()
    np.testing.assert_allclose(normal, room.normals[100, 200])


def test_only_known_points_remain_when_it_is_not_organised(room):
    depth = room.depth.copy()
    depth[:100], depth[100:110], depth[110:120] = np.nan, np.inf, -1
    cloud = point_cloud(depth, room.K, flying=True)
    assert cloud.height == 1 and cloud.width == 360 * 640 and cloud.is_dense
    assert np.isfinite(cloud.data).all() and cloud.fields == ('x', 'y', 'z')
    assert len(cloud.tobytes()) == cloud.width * 12
    organised = point_cloud(depth, room.K, organised=True, flying=True)
    assert not organised.is_dense and np.isnan(organised.data[:120]).all()


def test_a_stride_keeps_every_nth_pixel(room):
    whole = point_cloud(room.depth, room.K, organised=True, flying=True)
    some = point_cloud(room.depth, room.K, organised=True, flying=True, stride=3)
    np.testing.assert_array_equal(some.data, whole.data[::3, ::3])


def test_a_distorted_camera_bends_the_points_back(room):
    lens = CameraModel(room.K, (640, 480), (-0.3, 0.1, 0, 0, 0))
    x, y = lens.rays()
    cloud = point_cloud(np.full((480, 640), 2, np.float32), lens, organised=True)
    expected = np.stack([2 * x, 2 * y, np.full_like(x, 2)], -1)
    np.testing.assert_allclose(cloud.data, expected, rtol=1e-6)


def test_pixels_that_fly_are_found(room):
    """Blurred disparity hangs between surfaces; a pixel flies when no true surface near it (3 px)
    has its depth (within 5 %)."""
    depth = 1 / cv2.GaussianBlur(1 / room.depth, (0, 0), 2)
    surfaces = np.stack([np.roll(room.depth, (dy, dx), (0, 1))
                         for dy in range(-3, 4) for dx in range(-3, 4)])
    flies = (np.abs(depth - surfaces) > 0.05 * depth).all(0)
    found = flying_pixels(depth)
    inner = np.s_[5:-5, 5:-5]
    hits = np.count_nonzero(flies[inner] & found[inner])
    assert np.count_nonzero(flies[inner]) > 1000
    assert hits / np.count_nonzero(flies[inner]) >= 0.8
    assert hits / np.count_nonzero(found[inner]) >= 0.75


def test_planes_have_no_flying_pixels(room):
    v, u = np.mgrid[:480, :640]
    assert not flying_pixels((1 / (0.1 + 0.001 * v)).astype(np.float32))[5:-5, 5:-5].any()


@pytest.mark.parametrize('depth', [
    np.zeros((0, 0)), np.full((3, 4), np.nan), np.full((1, 1), np.inf), np.zeros((2, 2)),
    np.full((5, 5), -1.0)])
def test_a_depth_picture_without_depth_gives_an_empty_cloud(depth):
    cloud = point_cloud(depth, np.eye(3))
    assert cloud.width == 0 and cloud.height == 1 and cloud.tobytes() == b''


def test_arguments_that_make_no_sense_are_named(room):
    with pytest.raises(ValueError, match='points.stride'):
        point_cloud(room.depth, room.K, stride=0)
    with pytest.raises(ValueError, match='rgb'):
        point_cloud(room.depth, room.K, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match='not calibrated'):
        point_cloud(room.depth, np.zeros((3, 3)))
