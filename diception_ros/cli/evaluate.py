# SPDX-License-Identifier: Apache-2.0
"""`diception evaluate`: how good a model is on scenes and pictures that it has not seen."""
from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

# Figures of several tasks together: unit, and whether less is better.
JOINT_FIGURES = {'normals.depth_deg': ('degrees', True), 'panoptic.pq': ('', False)}


def evaluate(
    model: Annotated[str, typer.Argument(help='A model directory, or nano.')] = 'nano',
    data: Annotated[Path | None, typer.Argument(
        help='A folder of real pictures, labelled in part (docs/datasets.md); without it, '
             'synthetic scenes.')] = None,
    worlds: Annotated[str | None, typer.Option(
        help='easy, full, or a difficulty from 0 to 1; default easy.')] = None,
    scenes: Annotated[int | None, typer.Option(
        min=1, help='How many scenes of the split; default 200.')] = None,
    pictures: Annotated[int | None, typer.Option(
        min=1, help='Of each source in DATA at most so many, evenly; default all.')] = None,
    split: Annotated[str | None, typer.Option(
        help='test, validation or train; default test, and of DATA that names no splits all.')
    ] = None,
    device: Annotated[str, typer.Option(help='cpu or cuda.')] = 'cpu',
    dtype: Annotated[str, typer.Option(help='auto, float32, bfloat16 or float16.')] = 'auto',
    sheet: Annotated[Path | None, typer.Option(help='Write a contact sheet of 8 pictures (PNG): '
                                               'answers, and below them the truth of scenes.')
                     ] = None,
    json: Annotated[bool, typer.Option(help='Print JSON instead of a table.')] = False,
) -> None:
    """Measure a model on synthetic scenes, beside the best constant answer and the ceiling of its
    own pictures (truth painted and read again); or on real pictures in DATA, each figure where its
    truth is known, beside one who does not look.

    Example: diception evaluate nano --worlds easy --scenes 200 --json
    """
    from diception_ros.errors import Failure
    from diception_ros.output_folder import check_file

    if split not in (None, 'test', 'validation', 'train'):
        raise Failure(f'--split {split}: use test, validation or train')
    if data is not None and (worlds or scenes):
        raise Failure('--worlds, --scenes: are of synthetic scenes; leave them out with DATA')
    if data is None and pictures:
        raise Failure('--pictures: is of DATA; synthetic scenes are counted by --scenes')
    if worlds not in (None, 'easy', 'full'):
        try:
            worlds = float(worlds)
        except ValueError:
            raise Failure(f'--worlds {worlds}: use easy, full or a number from 0 to 1') from None
    if sheet is not None:
        if sheet.suffix.lower() != '.png':
            raise Failure(f'--sheet {sheet}: name a .png')
        check_file(sheet, option='--sheet')
    if data is not None:
        from diception_ros.lab.datasets import open_dataset
        try:
            open_dataset(data)                     # before the model is loaded
        except ValueError as error:
            raise Failure(str(error)) from None
    from diception_ros.model import DiceptionPipeline
    pipe = DiceptionPipeline.from_pretrained(model, device=device, dtype=dtype)
    if data is not None:
        _on_pictures(pipe, model, data, split and (split,), pictures, sheet, json)
    else:
        _on_scenes(pipe, model, 'easy' if worlds is None else worlds, scenes or 200,
                   split or 'test', sheet, json)


def _on_scenes(pipe, model, worlds, scenes, split, sheet, json) -> None:
    from rich.console import Console
    from rich.table import Table

    from diception_ros.lab.evaluation import synthetic
    from diception_ros.output_folder import output_file
    from diception_ros.progress import Progress
    from diception_ros.tasks import TASKS

    with Progress('evaluating', scenes) as progress:
        figures = synthetic.evaluate(pipe, worlds, scenes, split, progress.update)
        if sheet is not None:
            progress.stage('drawing the sheet')
            with output_file(sheet, option='--sheet') as beside:
                synthetic.sheet(pipe, worlds, min(scenes, 8), split, beside)
    if json:
        print(json_format.dumps({**figures['model'], 'constant': figures['constant'],
                                 'ceiling': figures['ceiling'], 'worlds': worlds,
                                 'scenes': scenes, 'split': split}, indent=1))
        return
    table = Table(title=f'{model}: {scenes} {split} scenes, {worlds}')
    for column in ('', 'unit', 'model', 'constant', 'ceiling'):
        table.add_column(column, justify='left' if column in ('', 'unit') else 'right')
    known = JOINT_FIGURES | {f'{task.kind}.{metric.key}': (metric.unit, metric.less_is_better)
                             for task in TASKS for metric in task.metrics}
    # Those of single categories, which have no line of their own there, come last
    for key in sorted(figures['model'], key=lambda key: key not in known):
        unit, less = known.get(key, ('IoU', False))
        mine, constant = figures['model'][key], figures['constant'][key]
        better = (mine < constant) if less else (mine > constant)
        table.add_row(key, unit, f'[{"green" if better else "red"}]{mine:.3f}',
                      f'{constant:.3f}', f'{figures["ceiling"][key]:.3f}')
    Console().print(table)


def _on_pictures(pipe, model, data, splits, pictures, sheet, json) -> None:
    from rich.console import Console
    from rich.table import Table

    from diception_ros.errors import Failure
    from diception_ros.lab.evaluation import photographs
    from diception_ros.output_folder import output_file
    from diception_ros.progress import Progress

    try:
        with Progress('evaluating') as progress:
            def begin(total):
                progress.stage('evaluating', total)
                return progress.update
            figures = photographs.evaluate(pipe, data, splits, pictures, begin)
    except ValueError as error:
        raise Failure(str(error)) from None
    if sheet is not None:
        with (Progress('drawing the sheet'),
              output_file(sheet, option='--sheet') as beside):
            photographs.sheet(pipe, data, splits, 8, beside)
    if json:
        print(json_format.dumps(figures, indent=1))
        return
    for source, found in figures.items():
        table = Table(title=f'{model}: {found["pictures"]} pictures, {source}')
        for column in ('', 'model', 'blind', 'of'):
            table.add_column(column, justify='left' if column == '' else 'right')
        for key, value in found['model'].items():
            text, less = photographs.FIGURES.get(key, (key, False))
            blind = found['blind'].get(key)
            better = blind is None or ((value < blind) if less else (value > blind))
            table.add_row(text, f'[{"green" if better else "red"}]{value:.3f}',
                          '' if blind is None else f'{blind:.3f}', str(found['of'][key]))
        Console().print(table)
