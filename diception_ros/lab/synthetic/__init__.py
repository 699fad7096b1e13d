# SPDX-License-Identifier: Apache-2.0
"""Procedural scenes with exact ground truth: the default model's school, and the tests' camera.

`size` is (width, height) in pixels everywhere here. numpy and OpenCV only.
"""

from diception_ros.lab.synthetic.camera import Camera
from diception_ros.lab.synthetic.draw import random_scene
from diception_ros.lab.synthetic.photograph import random_photo
from diception_ros.lab.synthetic.renderer import render
from diception_ros.lab.synthetic.scene import Scene, dice_for, level_of

__all__ = ['Camera', 'Scene', 'camera_move', 'random_scene', 'random_view', 'render']


def random_view(seed, size=(128, 128), worlds='easy', split='train'):
    """The Truth of one training picture, the same for the same arguments.

    `worlds`: 'easy', 'full', or a number from 0 to 1 between them. `split`: 'train', 'validation'
    or 'test': the same seed gives different pictures in each. A square picture may be squashed
    from a wider sensor (fx != fy).
    """
    scene = random_scene(seed, worlds, split)
    photo = random_photo(dice_for(seed, split, 'photo'), level_of(worlds))
    return render(scene, scene.camera(size), photo)


def camera_move(seed, frames=60, size=(640, 480), rate=10.0, worlds='easy'):
    """Yields the Truth of `frames` pictures of one scene, `rate` a second, while the camera drives
    and people walk; instance ids and the scene stay, `stamp` is in seconds."""
    from diception_ros.lab.synthetic.moves import frames_of_move
    return frames_of_move(seed, frames, size, rate, worlds)
