# SPDX-License-Identifier: Apache-2.0
"""The reference pages and config/diception.yaml, written from the registry and the parameters.

    python -m diception_ros.lab.reference          writes them into the checkout it is called in
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml

from diception_ros.ros.parameters import TABLE
from diception_ros.tasks.parameter import ANY_TIME, Parameter
from diception_ros.tasks.registry import COUNTED, OVERLAY, TASKS
from diception_ros.tasks.task import Task, Topic

# The parameter that a section of config/diception.yaml begins with, and its title.
SECTIONS = {
    'autostart': 'Model and device: change only while the node is unconfigured',
    'tasks': 'What is asked, how often, how carefully',
    'image_transport': 'Input',
    'depth.scale': 'Metres and the cloud',
    'points.mode': 'Clicks',
    'palette': 'Pictures for eyes',
}
CONFIG_HEAD = """\
# Every parameter of diception_node with its default. Copy what you change: a file needs only what
# differs. Parameters change at run time (ros2 param set) unless their comment says when.

/**:
  ros__parameters:
"""
WRITTEN = '<!-- Written by `python -m diception_ros.lab.reference`: change the code, not this. -->'


def pages() -> dict[str, str]:
    """{path in the checkout: text} of everything that is derived from the code."""
    return {'docs/reference/topics.md': topics(), 'docs/reference/parameters.md': parameters(),
            'docs/reference/tasks.md': tasks(), 'config/diception.yaml': config()}


def topics() -> str:
    """The topics that the node publishes."""
    rows = [_topic_row(topic) for task in TASKS for topic in task.topics]
    return _page('Topics that the node publishes', 'All names are relative. Every message of an '
                 'image carries its header, unchanged, and has its resolution.',
                 _table(('topic', 'type', 'what it says'), [*rows, _topic_row(OVERLAY)]))


def _topic_row(topic: Topic) -> tuple[str, str, str]:
    kind = topic.type.replace('/msg/', '/') + (f' {topic.encoding}' if topic.encoding else '')
    said = topic.meaning + ('; latched' if topic.latched else '')
    return f'`{topic.name}`', kind, said


def parameters() -> str:
    """The node's parameters."""
    rows = [(f'`{one.name}`', f'`{_value(one.default)}`', _text(one, _when(one)))
            for one in TABLE]
    return _page('Parameters of the node', '[config/diception.yaml](../../config/diception.yaml) '
                 'is this list as a file.', _table(('parameter', 'default', 'what it does'), rows))


def tasks() -> str:
    """What is known of every task."""
    return _page('Tasks', 'What a model can be asked, by name; `pipe(image, tasks=[...])` has the '
                 "result in the field that is named here. A model's `diception.json` says which "
                 'of them it knows.', '\n'.join(map(_task, COUNTED)))


def _task(task: Task) -> str:
    name = task.kind + (f':<{"|".join(task.members) or task.family}>' if task.family else '')
    facts = [f'Result: `.{task.field}`, {task.meaning}.',
             f'Topics: {", ".join(f"`{topic.name}`" for topic in task.topics)}.']
    if task.default:
        facts.append(f'Runs unless told otherwise, as `{task.default}`.')
    if task.needs_points:
        facts.append('Needs one point or more.')
    if task.parameters:
        facts.append('Parameters: ' + ', '.join(f'`{one.name}`' for one in task.parameters) + '.')
    if task.published:
        steps = task.published.num_inference_steps
        facts.append(f'The published model knows it as `{task.published.prompt}'
                     f'{f" <{task.family}>" if task.family else ""}`, {steps} '
                     f'step{"s" if steps > 1 else ""}, guidance '
                     f'{task.published.guidance_scale:g}.')
    if task.loss:
        facts.append(f'nano learns it, by the loss of {task.loss}.')
    if task.metrics:
        facts.append('Measured by ' + ', '.join(
            f'{metric.key}{f" ({metric.unit})" if metric.unit else ""}, '
            f'{"less" if metric.less_is_better else "more"} is better'
            for metric in task.metrics) + '.')
    return f'## `{name}`\n\n' + '\n'.join(f'- {fact}' for fact in facts) + '\n'


def config() -> str:
    """config/diception.yaml."""
    lines = [CONFIG_HEAD]
    for one in TABLE:
        if one.name in SECTIONS:
            lines.append(f'\n    # ---- {SECTIONS[one.name]}\n')
        when = '' if one.when == ANY_TIME else f'(Changes {one.when}.)'
        comment = textwrap.wrap(_text(one, when), 92, break_on_hyphens=False)
        lines += [f'    # {line}\n' for line in comment]
        lines.append(f'    {one.name}: {_value(one.default)}\n')
    return ''.join(lines)


def _value(value) -> str:
    """A default as YAML writes it."""
    value = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix('...\n').strip()


def _when(one: Parameter) -> str:
    return '' if one.when == ANY_TIME else f'Changes {one.when}.'


def _text(one: Parameter, when: str) -> str:
    """What a parameter does, its range, and when it may change."""
    words = set(re.findall(r'[\w.]+', one.description))
    bounds = ''
    if not set(one.choices) <= words:
        bounds = f'One of {", ".join(one.choices)}.'
    elif one.low is not None:
        bounds = f'{one.low} to {one.high}.'
    return ' '.join(filter(None, (one.description, bounds, when)))


def _page(title: str, intro: str, body: str) -> str:
    intro = textwrap.fill(intro, 100, break_on_hyphens=False)
    return f'{WRITTEN}\n\n# {title}\n\n{intro}\n\n{body}'


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ('---',) * len(head), *rows]
    return ''.join(f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in line)} |\n'
                   for line in lines)


def main() -> None:
    for path, text in pages().items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding='utf-8')
        print(path)


if __name__ == '__main__':
    main()
