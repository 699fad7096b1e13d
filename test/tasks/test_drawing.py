# SPDX-License-Identifier: Apache-2.0
"""Pictures for eyes: any content and size, colours that stay with their ids."""

import numpy as np
import pytest

from diception_ros.tasks import drawing

SIZES = [(1, 1), (48, 64), (480, 640), (1080, 1920)]


@pytest.mark.parametrize('palette', sorted(drawing.PALETTES))
def test_near_and_far_differ_in_every_palette_and_unknown_is_black(palette):
    picture = drawing.depth(np.float32([[0, 0.5, 1, np.nan]]), palette)
    assert picture.shape == (1, 4, 3) and picture.dtype == np.uint8
    assert len({tuple(pixel) for pixel in picture[0, :3]}) == 3
    assert tuple(picture[0, 3]) == (0, 0, 0)


def test_normals_that_face_the_camera_are_bluish_and_those_of_floors_green():
    facing, floor = drawing.normals(np.float32([[[0, 0, -1], [0, -1, 0]]]))[0]
    assert facing[2] == 255 and floor[1] == 255
    assert drawing.normals(np.full((1, 1, 3), np.nan)).tolist() == [[[128, 128, 128]]]


def test_a_label_keeps_its_colour_and_none_is_black():
    one = drawing.labels(np.array([[0, 1, 2, 70000]]))
    assert tuple(one[0, 0]) == (0, 0, 0)
    assert drawing.color_of(2) == tuple(one[0, 2]) == drawing.OKABE_ITO[1]
    assert len({drawing.color_of(label) for label in range(1, 200)}) > 170
    assert drawing.labels(np.array([[200]], np.uint8)).any()


@pytest.mark.parametrize('size', SIZES)
def test_everything_can_be_drawn_into_a_picture_of_any_size(size):
    picture = np.full((*size, 3), 90, np.uint8)
    keypoints = np.full((17, 3), np.nan, np.float32)
    keypoints[:, 2] = 0
    keypoints[5:9] = [(1e9, -1e9, 1), (3, 3, 1), (10, 10, 1), (np.inf, 2, 1)]
    drawing.skeletons(picture, [keypoints])
    drawing.clicks(picture, [(0, 0), (size[1] - 1, size[0] - 1)])
    drawing.legend(picture, [(f'category {n}', drawing.color_of(n)) for n in range(1, 40)])
    drawing.insets(picture, [('depth', np.zeros(size, np.float32), drawing.depth)] * 2)
    edge = drawing.borders(np.arange(size[0] * size[1]).reshape(size))
    assert edge.sum() >= edge.size - 1
    mixed = drawing.tinted(picture, drawing.SELECTED, edge, 0.5)
    assert mixed.shape == picture.shape and mixed.dtype == np.uint8


@pytest.mark.parametrize('height, thickness', [(240, 1), (480, 1), (720, 2), (1080, 3)])
def test_borders_are_as_thick_as_the_picture_is_large(height, thickness):
    halves = np.repeat(np.int32([[1, 2]]), 20, axis=1).repeat(height, axis=0)
    assert (drawing.borders(halves).sum(axis=1) == thickness).all()


def test_normals_are_red_to_the_left_green_up_and_blue_toward_the_camera():
    vectors = np.float32([[[-1, 0, 0], [0, -1, 0], [0, 0, -1], [np.nan, 0, 0]]])
    assert drawing.normals(vectors).tolist() == [
        [[255, 128, 128], [128, 255, 128], [128, 128, 255], [128, 128, 128]]]
