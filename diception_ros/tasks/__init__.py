# SPDX-License-Identifier: Apache-2.0
"""Tasks: what a model predicts, and what its predictions mean; a file each, numpy and OpenCV only.

`task.Task` says all that the package knows of a task; `registry.TASKS` names them.
"""

from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.registry import DEFAULT_TASKS, TASKS, task_class, task_named
from diception_ros.tasks.truth import CATEGORIES, STUFF, Person, Truth

__all__ = ['CATEGORIES', 'Conventions', 'DEFAULT_TASKS', 'Person', 'STUFF', 'TASKS', 'Truth',
           'task_class', 'task_named']
