# SPDX-License-Identifier: Apache-2.0
"""The registry: every task there is, and what follows from that.

To add a task: write its file, import it here and name it in TASKS.
"""

from __future__ import annotations

from collections.abc import Iterator

from diception_ros.tasks.adapter import Adapter
from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.depth import Depth
from diception_ros.tasks.entities import Entities
from diception_ros.tasks.normals import Normals
from diception_ros.tasks.pose import Pose
from diception_ros.tasks.restoration import Restoration
from diception_ros.tasks.segmentation import Segmentation
from diception_ros.tasks.semantic import Semantic
from diception_ros.tasks.task import Task, Topic

# In the order in which their results are published and listed.
TASKS: tuple[type[Task], ...] = (
    Depth, Normals, Entities, Segmentation, Semantic, Pose, Restoration, Adapter)

BY_KIND = {task.kind: task for task in TASKS}
# Families come last where prompts and targets are counted.
COUNTED = (*(task for task in TASKS if not task.family), *(task for task in TASKS if task.family))
# The names of the tasks that run unless told otherwise; of them, those that need no click.
DEFAULT_TASKS = tuple(task.default for task in TASKS if task.default)
WITHOUT_POINTS = tuple(
    task.default for task in TASKS if task.default and not task.needs_points)
OVERLAY = Topic('overlay', "everything that is on, over the camera's image", 'rgb8')


def task_class(name: str) -> type[Task] | None:
    """The task that a name such as 'depth' or 'semantic:person' belongs to; None for others."""
    kind, colon, member = name.partition(':')
    task = BY_KIND.get(kind)
    if task is None or bool(colon) != bool(task.family) or (task.family and not member):
        return None
    return task if not task.members or member in task.members else None


def task_named(name: str, conventions: Conventions | None = None, categories=()) -> Task:
    """The task called `name`.

    conventions: how the model draws (default: Conventions()). categories: those the model knows;
    empty = any. Raises ValueError with one line for a name or category that does not exist.
    """
    task, member = task_class(name), name.partition(':')[2]
    if task is None:
        *most, last = spellings()
        raise ValueError(f"unknown task '{name}': use {', '.join(most)} or {last}")
    if task.family == 'category' and categories and member not in categories:
        raise ValueError(f"task '{name}': the model knows only {', '.join(categories)}")
    return task(member, conventions or Conventions())


def spellings() -> list[str]:
    """How tasks are written: 'depth', ..., 'semantic:<category>', ..."""
    return [task.kind + (f':<{"|".join(task.members) or task.family}>' if task.family else '')
            for task in COUNTED]


def trained_names(categories) -> list[str]:
    """The names of all tasks that nano is trained on, those of a family by category."""
    names = []
    for task in COUNTED:
        if task.loss:
            names += [f'{task.kind}:{c}' for c in categories] if task.family else [task.kind]
    return names


def trained_kinds(*losses: str) -> tuple[str, ...]:
    """The kinds of tasks that nano is trained on, by one of `losses`; none given = by any."""
    return tuple(task.kind for task in COUNTED
                 if task.loss and (not losses or task.loss in losses))


def in_reading_order(names) -> list[str]:
    """The names of tasks in the order in which results are decoded: what is fast, or asked for by
    others, first."""
    return sorted(names, key=lambda name: BY_KIND[name.partition(':')[0]].reading_order)


def default_topics(metric: bool = False, latched: bool = False) -> Iterator[Topic]:
    """The topics of DEFAULT_TASKS: those that come for every frame, or, if `metric`, for every
    frame of which metres are known, or, if `latched`, once. The overlay is not among them."""
    for task in TASKS:
        if task.default:
            yield from (topic for topic in task.topics
                        if (topic.metric, topic.latched) == (metric, latched))
