# SPDX-License-Identifier: Apache-2.0
"""`diception run`: pictures from files through the model, without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from diception_ros.bit_depth import BITS, BitDepth
from diception_ros.errors import Failure
from diception_ros.output_folder import OutputFolder, homes_of
from diception_ros.progress import Progress
from diception_ros.tasks import TASKS, task_class
from diception_ros.tasks.frame import FOR_EYES, FrameResults
from diception_ros.tasks.registry import WITHOUT_POINTS

FLOATING = ('.tif', '.tiff', '.exr', '.pfm')  # files that may hold metres
*_MOST, _LAST = WITHOUT_POINTS
_CLICKED = [task.kind for task in TASKS if task.needs_points and task.default]


def run(
    images: Annotated[list[Path], typer.Argument(help='Pictures: PNG, JPEG, ...')],
    tasks: Annotated[str | None, typer.Option(
        help=f'Tasks, with commas (default: {", ".join(_MOST)} and {_LAST}, '
        f'and {", ".join(_CLICKED)} where there are points).')] = None,
    points: Annotated[list[str] | None, typer.Option(
        help='x,y of what to segment, as fractions of the picture: 0.5,0.5 is its middle. '
        'Repeat it for more points on the same thing.')] = None,
    out: Annotated[Path, typer.Option(help='Folder for the results.')] = Path('diception-out'),
    model: Annotated[str, typer.Option(help='nano, or a model directory.')] = 'nano',
    device: Annotated[str, typer.Option(help='cpu, cuda, cuda:1, ...')] = 'cpu',
    steps: Annotated[int | None, typer.Option(
        min=1, help="Denoising steps (default: the model's own, per task).")] = None,
    seed: Annotated[int, typer.Option(min=0, help='Seed of the noise.')] = 0,
    image_bits: Annotated[str, typer.Option(
        help='How many bits of 16-bit pictures are used, 8 to 16; auto = measured in each.'
        )] = 'auto',
    overwrite: Annotated[bool, typer.Option(
        '--overwrite', help='Replace results of an earlier run; no other file is ever replaced.'
        )] = False,
) -> None:
    """Perceive pictures: colour pictures, raw arrays and an overlay for each.

    \b
    diception run photo.jpg
    diception run *.png --tasks depth,normals --out results
    diception run photo.jpg --points 0.4,0.7

    A new folder per picture, named after it: <task>.png for eyes, depth_raw.png and
    entities_raw.png (16 bit), overlay.jpg, and arrays.npz with everything. Each appears as soon as
    its picture is done.
    """
    if image_bits not in BITS:
        raise typer.BadParameter(f'--image-bits {image_bits}: one of {", ".join(BITS)}')
    clicks = [_point(text) for text in points or []]
    for path in images:
        _check(path)
    folders, inputs = _folders(out, images), homes_of([*images, model])
    outputs = [OutputFolder(folder, 'diception run', inputs=inputs, overwrite=overwrite)
               for folder in folders]
    for output in outputs:
        output.check()

    damaged = []
    with Progress('loading the model') as progress:
        from diception_ros.model import DiceptionPipeline

        pipeline = DiceptionPipeline.from_pretrained(model, device=device)
        wanted = _tasks(tasks, pipeline.tasks, bool(clicks))

        def perceive(rgb: np.ndarray):
            return pipeline(rgb, tasks=wanted, points=clicks, num_inference_steps=steps, seed=seed)

        progress.stage('perceiving', total=len(images))
        for path, folder, output in zip(images, folders, outputs, strict=True):
            if _one(path, output, perceive, wanted, clicks, image_bits):
                print(folder, flush=True)
            else:
                damaged.append(str(path))
            progress.advance()
    if damaged:
        raise Failure(f'{len(damaged)} of {len(images)} pictures could not be read: '
                      f'{", ".join(damaged)}; copy them again')


def _one(path: Path, output: OutputFolder, perceive, wanted, points, bits: str) -> bool:
    """One picture from file to files, so that no more than one is in memory; False: damaged."""
    rgb = _read(path, bits)
    if rgb is None:
        return False
    height, width = rgb.shape[:2]
    frame = FrameResults(rgb, perceive(rgb), {'tasks': wanted, **FOR_EYES},
                  [(x * width - 0.5, y * height - 0.5) for x, y in points])
    with output as folder:
        folder.mkdir()
        for name, picture in _pictures(frame).items():
            _save(folder / name, picture)
        np.savez_compressed(folder / 'arrays.npz', **_arrays(frame))
    return True


def _check(path: Path) -> None:
    """Raise Failure if a file is no picture, as far as its first bytes tell."""
    if not path.exists():
        raise Failure(f'{path}: no such picture')
    if not path.is_file() or not cv2.haveImageReader(str(path)):
        raise Failure(f'{path}: not a picture that OpenCV can read')
    if path.suffix.lower() in FLOATING:
        values = _decoded(path, cv2.IMREAD_UNCHANGED)
        if values is not None and values.ndim == 2 and values.dtype.kind == 'f':
            raise Failure(f'{path}: floating-point numbers in one channel, a depth image and no '
                          'picture: give the colour image')


def _point(text: str) -> tuple[float, float]:
    """'0.4,0.7' -> (0.4, 0.7)."""
    try:
        x, y = (float(part) for part in text.split(','))
    except ValueError:
        raise typer.BadParameter(f'--points {text}: x,y as fractions, such as 0.4,0.7') from None
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise typer.BadParameter(
            f'--points {text}: fractions of the picture from 0 to 1, not pixels'
        )
    return x, y


def _read(path: Path, bits: str = 'auto') -> np.ndarray | None:
    """uint8 RGB (H, W, 3) of a picture file; None where it is damaged. bits: as BitDepth's."""
    bgr = _decoded(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if bgr is not None and bgr.dtype == np.uint16:
        bgr = BitDepth(lambda text: typer.echo(
            f'{path}: {text}; --image-bits can say otherwise', err=True)).to_uint8(bgr, bits)
    elif bgr is not None and bgr.dtype != np.uint8:
        bgr = _decoded(path, cv2.IMREAD_COLOR)
    return None if bgr is None else np.ascontiguousarray(bgr[..., ::-1])


def _decoded(path: Path, how: int) -> np.ndarray | None:
    try:
        return cv2.imread(str(path), how)
    except cv2.error:  # such as one of more than 2**30 pixels
        return None


def _tasks(given: str | None, able: list[str], clicked: bool) -> list[str]:
    """The tasks asked for; without a list the default ones that the model can do."""
    if given is None:
        tasks = [task for task in WITHOUT_POINTS if task in able]
    else:
        tasks = [task.strip() for task in given.split(',') if task.strip()]
        for task in tasks:
            if task not in able:
                raise Failure(f'--tasks: the model has no task {task}; it has {", ".join(able)}')
    pointed = [task for task in tasks if task_class(task).needs_points]
    if clicked and not pointed:
        tasks += _CLICKED
    if pointed and not clicked:
        raise Failure(f'--tasks: {pointed[0]} needs to know what: add --points 0.5,0.5')
    if not tasks:
        raise Failure(f'--tasks: none given; the model has {", ".join(able)}')
    return tasks


def _folders(out: Path, images: list[Path]) -> list[Path]:
    """A folder per picture: its name without suffix, with a number where two are alike."""
    folders: list[Path] = []
    for path in images:
        folder, number = out / path.stem, 2
        while folder in folders:
            folder, number = out / f'{path.stem}_{number}', number + 1
        folders.append(folder)
    return folders


def _save(path: Path, picture: np.ndarray) -> None:
    """Write RGB or grey; the suffix says how."""
    bgr = picture[..., ::-1] if picture.ndim == 3 else picture
    if not cv2.imwrite(str(path), bgr):
        raise Failure(f'{path}: could not be written')


def _pictures(frame: FrameResults) -> dict[str, np.ndarray]:
    """File name -> picture: for eyes uint8, and raw uint16 where 8 bit would lose something."""
    pictures = {'overlay.jpg': frame.overlay()}
    for task, result in _results(frame):
        pictures.update(task.files(result, frame))
    return pictures


def _arrays(frame: FrameResults) -> dict[str, np.ndarray]:
    """Everything that was found, under the names of the result's fields."""
    arrays = {}
    for task, result in _results(frame):
        arrays.update(task.arrays(result))
    return arrays


def _results(frame: FrameResults):
    """Every task of the registry that has a result, and that."""
    for task in TASKS:
        result = task.result_in(frame)
        if result is not None:
            yield task, result
