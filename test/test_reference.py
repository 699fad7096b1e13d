# SPDX-License-Identifier: Apache-2.0
"""The pages that are derived from the code are those of this code."""

import ast
from pathlib import Path

import pytest

from diception_ros.lab.reference import pages
from diception_ros.tasks import TASKS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize('path', pages())
def test_a_derived_page_says_what_the_code_says(path):
    assert (ROOT / path).read_text() == pages()[path], (
        f'{path} has drifted: python -m diception_ros.lab.reference')


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.kind)
def test_every_topic_and_parameter_of_a_task_is_in_the_reference(task):
    for topic in task.topics:
        assert f'| `{topic.name}` |' in pages()['docs/reference/topics.md']
    for parameter in task.parameters:
        assert f'| `{parameter.name}` |' in pages()['docs/reference/parameters.md']
    assert f'## `{task.kind}' in pages()['docs/reference/tasks.md']


def test_nobody_keeps_a_list_of_tasks_of_their_own():
    """A list, tuple, set or dict with four names of tasks in it is one; `tasks/` alone has it."""
    kinds, found = {task.kind for task in TASKS}, []
    for file in (ROOT / 'diception_ros').rglob('*.py'):
        if {'tasks', 'msg'} & set(file.relative_to(ROOT).parts):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            parts = getattr(node, 'elts', None) or getattr(node, 'keys', None) or ()
            names = [part.value.partition(':')[0] for part in parts
                     if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            if len(kinds & set(names)) >= 4:
                found.append(f'{file.relative_to(ROOT)}:{node.lineno}')
    assert not found, f'derive these lists from diception_ros.tasks.registry: {found}'
