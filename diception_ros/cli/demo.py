# SPDX-License-Identifier: Apache-2.0
"""`diception demo`: a camera bag through the real node on a real graph, and a page of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from diception_ros.bags.source import FROM_IMAGE, ONCE, Source, source_of
from diception_ros.cli import has_laboratory
from diception_ros.errors import Failure
from diception_ros.output_folder import OutputFolder, log_file
from diception_ros.progress import Progress
from diception_ros.tasks import DEFAULT_TASKS

# Where the demo itself clicks into the middle of the picture, in a bag without clicks.
CLICKS = '/diception/clicked_pixel'


@dataclass
class Played:
    """What happened: when each frame went out, and what came back."""

    model: str
    device: str
    sent: dict[int, float] = field(default_factory=dict)  # stamp -> time.monotonic()
    # Frames sent before it, and (x, y) in pixels.
    clicked: list[tuple[int, tuple[float, float]]] = field(default_factory=list)
    arrivals: list = field(default_factory=list)


def demo(
    out: Annotated[Path, typer.Option(
        help='Folder for the bags and the page: new, empty, or that of an earlier demo, which is '
        'replaced when the new one is whole.')] = Path('demo'),
    bag: Annotated[Path | None, typer.Option(
        help='A rosbag2 of your own instead of the made-up camera.')] = None,
    image_topic: Annotated[str | None, typer.Option(
        help='Its topic of pictures, raw or compressed.')] = None,
    reference_depth: Annotated[str | None, typer.Option(
        help='Its registered depth pictures, for metres (default: reference_depth beside the '
        'pictures).')] = None,
    seconds: Annotated[float, typer.Option(
        min=0.1, help='Play at most so much of your bag.')] = 20.0,
    frames: Annotated[int, typer.Option(min=1, help='Frames of the made-up camera.')] = 60,
    seed: Annotated[int, typer.Option(min=0, help='Which world the made-up camera sees.')] = 12,
    model: Annotated[str, typer.Option(help='nano, or a model directory.')] = 'nano',
    device: Annotated[str, typer.Option(help='cpu or cuda.')] = 'cpu',
    overwrite: Annotated[bool, typer.Option(
        '--overwrite', help='Replace also the results of another verb; no other file is ever '
        'replaced.')] = False,
) -> None:
    """Play a camera through the real node with every task on; see index.html.

    \b
    diception demo
    diception demo --bag my_bag --image-topic /camera/image_raw
    """
    from rich.console import Console

    from diception_ros.bags.page import write_page

    console = Console(highlight=False)
    begin = time.monotonic()
    source = None
    if bag is not None:
        source = source_of(bag, image_topic, reference_depth=reference_depth)
        for note in source.notes:
            console.print(note, soft_wrap=True)
    elif image_topic or reference_depth:
        raise typer.BadParameter('--image-topic and --reference-depth need --bag')
    elif not has_laboratory():
        raise Failure('the made-up camera was left out of this installation (DICEPTION_LAB=OFF): '
                      'give --bag, a recording of your own')
    output = OutputFolder(out, 'diception demo', inputs=[model] if bag is None else [bag, model],
                          overwrite=overwrite, renew=True)
    with output as beside, Progress('looking for something to click') as progress:
        beside.mkdir()
        if source is None:
            _make_camera(beside / 'camera', frames, seed, progress)
            source, seconds = source_of(beside / 'camera', '/camera/image_raw'), float('inf')
        played = _play(source, beside, seconds, model, device, progress)
        progress.stage('comparing and drawing')
        report = write_page(source, played, beside)
    console.print(report.table())
    _complain_of_silence(source, played, out)
    console.print(f'{out}/index.html  ({time.monotonic() - begin:.0f} s)', soft_wrap=True)


def _make_camera(path: Path, frames: int, seed: int, progress: Progress) -> None:
    """Record a camera that moves through a made-up world."""
    from diception_ros.bags import rosbag2 as bags
    from diception_ros.lab.synthetic import camera_move

    # A small copy of the same move tells which thing stays in view and is worth a click.
    clicked = bags.thing_to_click(camera_move(seed, frames=frames, size=(160, 120)))
    progress.stage('recording a made-up camera', total=frames)

    def views():
        for view in camera_move(seed, frames=frames):
            yield view
            progress.advance()

    bags.write_camera_bag(path, views(), clicked)


def _play(
    source: Source, out: Path, seconds: float, model: str, device: str, progress: Progress
) -> Played:
    """Start the node, play the bag, record the answers."""
    from diception_ros.bags import rosbag2 as bags
    from diception_ros.bags.live import (
        NAMESPACE,
        Graph,
        introduce,
        node_process,
        queues,
        wait_until,
    )
    from diception_ros.bags.recording import Recorder, play, send_ahead

    outputs = [f'{NAMESPACE}/{name}' for name in source.expected]
    parameters = {
        'model': model, 'device': device, 'tasks': ','.join(DEFAULT_TASKS),
        'image_transport': 'compressed' if source.compressed else 'raw',
        **queues(outputs, 'publisher', depth=10),
    }
    played = Played(model, device)
    nobody_clicks = 'clicked_pixel' not in source.side
    with bags.BagReader(source.path) as bag:
        begins, first = bag.first(source.image)
    width, height = bags.size_of(first, source.image_type)
    middle = bags.encode(bags.make('geometry_msgs/msg/Point', x=width / 2, y=height / 2, z=0.0))
    progress.stage(f'starting diception_node (model {model}, {device})')
    with (
        log_file(out, 'node.log') as log,
        node_process(log, parameters, source.remaps) as node,
        bags.BagReader(source.path) as bag,
        Recorder(out / 'outputs') as recorder,
        Graph(recorder.heard, 'demo') as graph,
    ):
        def quiet() -> bool:
            """Whether all that was asked is answered, and the answers are here."""
            return recorder.reports.idle() > 1 and time.monotonic() - recorder.last > 1.5

        def settle() -> None:
            """Wait as long as the node says that it works."""
            recorder.reports.forget_idleness()
            wait_until(quiet, lambda: recorder.reports.check(node), float('inf'))

        offers = {topic: bag.topics[topic].type for topic in source.topics}
        if nobody_clicks:
            offers[CLICKS] = 'geometry_msgs/msg/Point'
        for topic, msgtype in introduce(graph, node, source.image, offers, outputs).items():
            recorder.expect(topic, msgtype, latched=topic.endswith(ONCE))
            graph.hear(topic, msgtype, depth=10)
        progress.stage('waiting for the first answer')
        always = {f'{NAMESPACE}/{name}' for name in FROM_IMAGE}
        send_ahead(graph, node, recorder.reports, source.image, first,
                   lambda: always <= recorder.early)
        settle()

        def click(point: bytes) -> None:
            where = bags.decode(point, 'geometry_msgs/msg/Point')
            played.clicked.append((len(played.sent), (where.x, where.y)))

        def published(topic: str, stamp: int, data: bytes, moment: float) -> None:
            node.check()
            if topic == source.image:
                played.sent[bags.stamp_of(data)] = moment
                progress.advance()
                if nobody_clicks and len(played.sent) == 3:
                    graph.publish(CLICKS, middle)
                    click(middle)
            elif topic == source.side.get('clicked_pixel'):
                click(data)

        progress.stage('playing the camera', total=source.frames)
        recorder.begin(time.monotonic(), begins)
        play(bag, source.topics, graph, seconds, published)
        progress.stage('waiting for the last answers')
        settle()
    played.arrivals = recorder.arrivals
    return played


def _complain_of_silence(source: Source, played: Played, out: Path) -> None:
    """Raise Failure that names the expected outputs on which nothing came."""
    from diception_ros.bags.live import NAMESPACE

    heard = {arrival.topic for arrival in played.arrivals}
    silent = [f'{NAMESPACE}/{name}' for name in source.expected
              if f'{NAMESPACE}/{name}' not in heard]
    if silent:
        raise Failure(
            f'nothing came on {", ".join(silent)} in {len(played.sent)} frames; see '
            f'{out}/node.log'
        )
