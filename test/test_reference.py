# SPDX-License-Identifier: Apache-2.0
"""The pages that are derived from the code are those of this code."""

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
