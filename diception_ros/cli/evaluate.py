# SPDX-License-Identifier: Apache-2.0
"""`diception evaluate`: how good a model is on worlds that it has not seen."""
from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

# Figure, unit, and whether less is better.
FIGURES = (('depth.absrel', '', True), ('depth.delta1', '', False),
           ('normals.mean_deg', 'degrees', True), ('normals.median_deg', 'degrees', True),
           ('normals.depth_deg', 'degrees', True),
           ('segmentation.miou', 'one click', False), ('semantic.miou', '', False),
           ('entities.miou', '', False), ('panoptic.pq', '', False), ('pose.pck10', '', False))


def evaluate(
    model: Annotated[str, typer.Argument(help='A model directory, or nano.')] = 'nano',
    worlds: Annotated[str, typer.Option(help='easy, full, or a difficulty from 0 to 1.')] = 'easy',
    scenes: Annotated[int, typer.Option(min=1, help='How many scenes of the split.')] = 200,
    split: Annotated[str, typer.Option(help='test, validation or train.')] = 'test',
    device: Annotated[str, typer.Option(help='cpu or cuda.')] = 'cpu',
    dtype: Annotated[str, typer.Option(help='auto, float32, bfloat16 or float16.')] = 'auto',
    sheet: Annotated[Path | None, typer.Option(help='Write a contact sheet of 8 scenes (PNG): '
                                               'answers above, truth below.')] = None,
    json: Annotated[bool, typer.Option(help='Print JSON instead of a table.')] = False,
) -> None:
    """Measure a model on procedural worlds, beside the best constant answer and the ceiling of its
    own pictures (truth painted and read again).

    Example: diception evaluate nano --worlds easy --scenes 200 --json
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress
    from rich.table import Table

    from diception_ros.cli import Failure
    from diception_ros.lab.training import evaluation
    from diception_ros.model import DiceptionPipeline

    if split not in ('test', 'validation', 'train'):
        raise Failure(f'--split {split}: use test, validation or train')
    if worlds not in ('easy', 'full'):
        try:
            worlds = float(worlds)
        except ValueError:
            raise Failure(f'--worlds {worlds}: use easy, full or a number from 0 to 1') from None
    pipe = DiceptionPipeline.from_pretrained(model, device=device, dtype=dtype)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task('evaluating', total=scenes)
        figures = evaluation.evaluate(pipe, worlds, scenes, split,
                                      lambda done: progress.update(bar, completed=done))
    if sheet is not None:
        evaluation.sheet(pipe, worlds, min(scenes, 8), split, sheet)
    if json:
        print(json_format.dumps({**figures['model'], 'constant': figures['constant'],
                                 'ceiling': figures['ceiling'], 'worlds': worlds,
                                 'scenes': scenes, 'split': split}, indent=1))
        return
    table = Table(title=f'{model}: {scenes} {split} scenes, {worlds}')
    for column in ('', 'unit', 'model', 'constant', 'ceiling'):
        table.add_column(column, justify='left' if column in ('', 'unit') else 'right')
    shown = [*FIGURES, *((key, 'IoU', False) for key in figures['model']
                         if key.startswith('semantic.') and key != 'semantic.miou')]
    for key, unit, less in shown:
        if key in figures['model']:
            mine, constant = figures['model'][key], figures['constant'][key]
            better = (mine < constant) if less else (mine > constant)
            table.add_row(key, unit, f'[{"green" if better else "red"}]{mine:.3f}',
                          f'{constant:.3f}', f'{figures["ceiling"][key]:.3f}')
    Console().print(table)
