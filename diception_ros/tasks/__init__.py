# SPDX-License-Identifier: Apache-2.0
"""Tasks: what a model paints, and what its paintings mean; a file each, numpy and OpenCV only.

A task is a small class with
    name            as users write it: 'depth', 'semantic:person', ...
    prompt_key      its key in a model's bank of prompts
    published_prompt  what the published model was trained with; None if it does not know the task
    needs_points    True where clicks are part of the question
    encode(truth, rng=None, points=None) -> target picture, float32 (H, W, 3) in [0, 1]
    decode(picture) -> result; takes any float picture (H, W, 3), never raises for its content
    score(result, truth) -> dict of figures
    constant(truths) -> the best result of one who does not look: the baseline to beat
To add a task: write its file, and name it below.
"""

from diception_ros.tasks.adapter import Adapter
from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.depth import Depth
from diception_ros.tasks.entities import Entities
from diception_ros.tasks.normals import Normals
from diception_ros.tasks.pose import Pose
from diception_ros.tasks.restoration import MODES, Restoration
from diception_ros.tasks.segmentation import Segmentation
from diception_ros.tasks.semantic import Semantic
from diception_ros.tasks.truth import CATEGORIES, STUFF, Person, Truth

__all__ = ['CATEGORIES', 'Conventions', 'Person', 'STUFF', 'Truth', 'task_named']

_PLAIN = {'depth': Depth, 'normals': Normals, 'entities': Entities, 'segmentation': Segmentation,
          'pose': Pose}
_WITH_CONVENTIONS = (Normals, Entities, Pose)


def task_named(name, conventions=None, categories=()):
    """The task called `name`.

    conventions: how the model draws (default: Conventions()). categories: those the model knows;
    empty = any. Raises ValueError with one line for a name or category that does not exist.
    """
    kind, _, detail = name.partition(':')
    if name in _PLAIN:
        task = _PLAIN[name]
        return task(conventions or Conventions()) if task in _WITH_CONVENTIONS else task()
    if kind == 'semantic' and detail:
        if categories and detail not in categories:
            raise ValueError(f"task '{name}': the model knows only {', '.join(categories)}")
        return Semantic(detail)
    if kind == 'restoration' and detail in MODES:
        return Restoration(detail)
    if kind == 'adapter' and detail:
        return Adapter(detail)
    raise ValueError(f"unknown task '{name}': use {', '.join(_PLAIN)}, semantic:<category>, "
                     f"restoration:<{'|'.join(MODES)}> or adapter:<name>")
