# SPDX-License-Identifier: Apache-2.0
"""`diception convert`: the published weights -> a model directory."""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

WEIGHTS_FILE = 'DICEPTION_v1.pth'


def convert(
    sd3: Annotated[str, typer.Option(help="Stable Diffusion 3 medium: a directory in diffusers' "
                                     'layout, or its name on the Hugging Face hub.')],
    diception: Annotated[str, typer.Option(help=f'The file {WEIGHTS_FILE}, or the name of its '
                                           'repository on the hub.')],
    out: Annotated[Path, typer.Option(help='The model directory to write: new or empty.')],
    dtype: Annotated[str, typer.Option(help='bfloat16, float16 or float32.')] = 'bfloat16',
    vae: Annotated[Path | None, typer.Option(
        help='Directory of another autoencoder with latents of SD3, such as an AutoencoderTiny; '
             'decoding is a third of one-step inference.')] = None,
    prompt: Annotated[list[str] | None, typer.Option(
        help=r"A further prompt, e.g. '\[\[image2semantic]] forklift'; may be repeated.")] = None,
    device: Annotated[str, typer.Option(help='Where the text encoders run: cpu or cuda.')] = 'cpu',
    overwrite: Annotated[bool, typer.Option(
        '--overwrite', help='Replace an earlier conversion; no other file is ever replaced.'
        )] = False,
) -> None:
    """Make a model directory of the published weights: SD3 medium and DICEPTION_v1.pth.

    Every tensor is checked by name and shape. The text encoders run once, for the six tasks and
    COCO's 80 categories, and are left out. Only a hub name makes this command go online.

    \b
    diception convert --sd3 ~/stable-diffusion-3-medium-diffusers \\
        --diception ~/DICEPTION_v1.pth --out ~/models/diception
    """  # noqa: D301
    from rich.console import Console
    from rich.table import Table

    from diception_ros.output_folder import OutputFolder
    from diception_ros.progress import Progress

    inputs = [sd3, diception, *([] if vae is None else [vae])]
    OutputFolder(out, 'diception convert', inputs=inputs, overwrite=overwrite).check()
    if not (Path(sd3).expanduser().exists() and Path(diception).expanduser().exists()):
        sd3, diception = from_hub_or_here(sd3, diception)
    os.environ['HF_HUB_OFFLINE'] = '1'                            # from here on nothing goes online
    os.environ.setdefault('TRANSFORMERS_VERBOSITY', 'error')
    with Progress('reading', total=1.0) as progress:
        from diception_ros.model.checkpoints import read_config
        from diception_ros.model.conversion import convert_published
        from diception_ros.model.pipeline import resolve_device, resolve_dtype

        parts = convert_published(
            sd3, diception, out, resolve_dtype(dtype, resolve_device('cpu')), vae, prompt or (),
            resolve_device(device), report=lambda what, done: progress.update(done, what),
            overwrite=overwrite)

    config = read_config(out.expanduser())
    width, height = config['resolution']
    table = Table(title=f'{out}: {width}x{height}, {dtype}, {len(config["prompts"])} prompts, '
                        f'{len(config["categories"])} categories')
    for name in ('component', 'tensors', 'parameters', 'megabytes'):
        table.add_column(name, justify='left' if name == 'component' else 'right')
    rows = [*parts.items(), ('together', None)]
    for name, part in rows:
        counted = parts.values() if part is None else [part]
        table.add_row(name, str(sum(p.tensors for p in counted)),
                      f'{sum(p.parameters for p in counted):,}',
                      f'{sum(p.nbytes for p in counted) / 1e6:,.1f}')
    Console().print(table)
    print(f'licence: {config["licence"]}')


def from_hub_or_here(sd3: str, diception: str) -> tuple[str, str]:
    """Local paths of both, downloaded where they are names on the hub."""
    return (fetched(sd3, 'sd3', ['*.json', '*.txt', '*.model', 'vae/*.safetensors',
                                 'text_encoder*/model.safetensors',
                                 'text_encoder*/model-*.safetensors']),
            fetched(diception, 'diception', [WEIGHTS_FILE], WEIGHTS_FILE))


def fetched(name: str, option: str, patterns: list[str], file: str | None = None) -> str:
    """A path as it is; of a hub name `owner/repository` the local copy of the files wanted."""
    from diception_ros.errors import Failure
    if Path(name).expanduser().exists() or not re.fullmatch(r'[\w-][\w.-]*/[\w.-]+', name):
        return name                                               # whoever reads it checks it
    from huggingface_hub import snapshot_download
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:                                    # no network, no login, no leave
        kind, line = type(error).__name__, ' '.join(str(error).split())[:160]
        raise Failure(f'--{option}: {name!r} is not here, and cannot be downloaded from the hub '
                      f'({kind}: {line}); give a local path, or `hf auth login` and accept the '
                      "licence on the model's page") from None
    return str(folder / file if file else folder)
