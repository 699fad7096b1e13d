# SPDX-License-Identifier: Apache-2.0
"""`diception train`: the embedded default model, from procedural worlds."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from diception_ros.output_folder import OutputFolder, RunFolder
from diception_ros.ros.child_processes import ending_with_us


def train(
    out: Annotated[Path, typer.Option(help='Folder of checkpoints, log, curves and sheets; a run '
                                      'that is in it goes on where it stopped.')],
    config: Annotated[Path | None, typer.Option(help='The YAML that says all of it; without it '
                                                "the package's training/nano.yaml.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help='End after so many minutes, the '
                                                  'learning rate falling to fit.')] = None,
    processes: Annotated[int, typer.Option(min=1, help='Processes: GPUs, or cores.')] = 1,
    init: Annotated[str | None, typer.Option(help='Model whose weights a new run starts from: nano '
                                             'or a directory. Default: random ones.')] = None,
    image_encoder: Annotated[Path | None, typer.Option(
        help="Folder of the pre-trained weights of a new run's image encoder.")] = None,
    data: Annotated[Path | None, typer.Option(help='Data set of photographs to learn from beside '
                                              'the synthetic scenes; docs/datasets.md.')] = None,
    assets: Annotated[Path | None, typer.Option(help='Folder of cut-outs, textures and panoramas '
                                                'for scenes and photographs.')] = None,
    store: Annotated[Path | None, typer.Option(help='Folder of scenes and photographs made by '
                                               '--render, kept on the GPU.')] = None,
    render: Annotated[int, typer.Option(min=0, help='Make so many scenes, and half as many '
                                        'photographs of --data, in --store first, on all cores; '
                                        'not again where they are.')] = 0,
    fresh: Annotated[bool, typer.Option(help='Ignore the checkpoint in --out.')] = False,
    export: Annotated[bool, typer.Option(help='Only write OUT/model from the checkpoint.')] = False,
    overwrite: Annotated[bool, typer.Option(
        '--overwrite', help='With --render: replace what an earlier one left in --store; no other '
        'file is ever replaced.')] = False,
) -> None:
    """Train the default model on synthetic scenes and photographs; ends by writing OUT/model.

    Example: diception train --out .training/nano --processes 2 --minutes 150
    """
    import yaml

    from diception_ros.errors import Failure
    from diception_ros.lab.training.settings import read_settings
    given = (config, init, image_encoder, data, assets, store)
    inputs = [one for one in given if one is not None]
    RunFolder(out, 'diception train', inputs=inputs).check()
    if export:
        from diception_ros.lab.training import loop
        return loop.export(out)
    file = config or Path(__file__).parent.parent / 'lab' / 'training' / 'nano.yaml'
    if not file.is_file():
        raise Failure(f'--config {file}: no such file')
    if init is not None:
        from diception_ros.model.checkpoints import find_model
        find_model(init)
    try:
        settings = read_settings(file)
    except yaml.YAMLError as error:
        raise Failure(f'--config {file}: not YAML ({str(error).splitlines()[0]})') from None
    if not isinstance(settings, dict):
        raise Failure(f'--config {file}: no settings in it; begin with a copy of nano.yaml')
    if render:
        if store is None:
            raise Failure('--render: needs --store, the folder to render into')
        _render(store, render, settings, data, assets, overwrite)
    if store is not None and not (store / 'scenes' / 'rgb.npy').is_file():
        raise Failure(f'--store {store}: no pictures in it; make them with --render 100000')

    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node',
               str(processes)] if processes > 1 else [sys.executable]
    command += ['-m', 'diception_ros.lab.training.loop', str(file), str(out)]
    for name, value in (('--minutes', minutes), ('--init', init), ('--store', store),
                        ('--image-encoder', image_encoder), ('--data', data),
                        ('--assets', assets)):
        command += [name, str(value)] if value is not None else []
    command += ['--fresh'] if fresh else []
    # Waiting threads that spin make a step up to 60 times slower on a machine that does other work.
    threads = {'OMP_WAIT_POLICY': 'PASSIVE', 'GOMP_SPINCOUNT': '0'}
    if processes > 1:
        threads['OMP_NUM_THREADS'] = '1'
    status = subprocess.run(command, env=ending_with_us({**threads, **os.environ}),
                            check=False).returncode
    if status:
        raise Failure(f'training stopped with status {status}; call again to go on from {out}')


def _render(store: Path, count: int, settings, data: Path | None, assets: Path | None,
            overwrite: bool) -> None:
    """Scenes into STORE/scenes and, where there is DATA, half as many photographs beside them."""
    from diception_ros.lab.synthetic.assets import Assets
    from diception_ros.lab.training.pictures import Scenes, write_store
    from diception_ros.lab.training.settings import size_of
    from diception_ros.progress import Progress
    made = store / 'rendered'
    if not overwrite and made.is_file() and made.read_text() == str(count):
        return
    output = OutputFolder(store, 'diception train', option='--store', overwrite=overwrite,
                          inputs=[one for one in (data, assets) if one is not None])
    size, scale = size_of(settings)
    jobs = [('scenes', Scenes(size, (0.0, settings['worlds']['to']), assets and Assets(assets),
                              scale), count)]
    if data is not None:
        from diception_ros.lab.training.loop import photograph_records
        jobs.append(('photographs', photograph_records(settings, data, assets), count // 2))
    with output as beside:
        for kind, source, number in jobs:
            with Progress(f'rendering {kind}', total=number) as progress:
                for done in write_store(beside / kind, source, number,
                                        len(os.sched_getaffinity(0))):
                    progress.update(done)
        (beside / 'rendered').write_text(str(count))
