# SPDX-License-Identifier: Apache-2.0
"""Procedural scenes with exact ground truth: the default model's school, and the tests' camera.

`size` is (width, height) in pixels everywhere here. numpy and OpenCV only.
"""

from diception_ros.lab.synthetic.assets import Assets
from diception_ros.lab.synthetic.camera import Camera
from diception_ros.lab.synthetic.draw import random_scene
from diception_ros.lab.synthetic.photograph import random_camera, random_photo
from diception_ros.lab.synthetic.realistic import RealDraw
from diception_ros.lab.synthetic.renderer import render
from diception_ros.lab.synthetic.scene import Scene, dice_for, level_of

PLAIN_SHARE = .2      # of scenes as they are without assets, where there are some

__all__ = ['Assets', 'Camera', 'Scene', 'camera_move', 'random_scene', 'random_view', 'render']


def random_view(seed, size=(128, 128), worlds='easy', split='train', assets=None, rgb_scale=1):
    """The Truth of one training picture, the same for the same arguments.

    `worlds`: 'easy', 'full', or a number from 0 to 1 between them. `split`: 'train', 'validation'
    or 'test': the same seed gives different pictures in each. A square picture may be squashed
    from a wider sensor (fx != fy). `assets`: an `Assets`, perhaps without any image, makes most
    scenes of the kinds, surfaces and light of `realistic`. `rgb_scale`: how many times `size` the
    picture `rgb` has; the truth is that of pixel centres at `size`.
    """
    level = level_of(worlds)
    sensor = dice_for(seed, split, 'photo')
    if assets is None or dice_for(seed, split, 'realism').random() < PLAIN_SHARE:
        scene = random_scene(seed, worlds, split)
        photo = random_photo(sensor, level)
    else:
        scene = RealDraw(dice_for(seed, split, 'real scene'), level, assets).scene()
        photo = random_camera(sensor, level)
    return render(scene, scene.camera(size), photo, rgb_scale)


def camera_move(seed, frames=60, size=(640, 480), rate=10.0, worlds='easy'):
    """Yields the Truth of `frames` pictures of one scene, `rate` a second, while the camera drives
    and people walk; instance ids and the scene stay, `stamp` is in seconds."""
    from diception_ros.lab.synthetic.moves import frames_of_move
    return frames_of_move(seed, frames, size, rate, worlds)
