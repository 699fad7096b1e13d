# SPDX-License-Identifier: Apache-2.0
"""`diception demo`: a camera bag through the real node on a real graph, and a page of it."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from diception_ros.bags.source import FROM_IMAGE, TASKS, Source, source_of
from diception_ros.cli import Failure

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
    out: Annotated[Path, typer.Option(help='Folder for the bags and the page.')] = Path('demo'),
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
) -> None:
    """Play a camera through the real node with every task on; see index.html.

    \b
    diception demo
    diception demo --bag my_bag --image-topic /camera/image_raw
    """
    from rich.console import Console

    console = Console(highlight=False)
    begin = time.monotonic()
    for leftover in ('camera', 'outputs', 'pictures'):
        shutil.rmtree(out / leftover, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    if bag is None:
        if image_topic or reference_depth:
            raise typer.BadParameter('--image-topic and --reference-depth need --bag')
        _make_camera(out / 'camera', frames, seed, console)
        source, seconds = source_of(out / 'camera', '/camera/image_raw'), float('inf')
    else:
        source = source_of(bag, image_topic, reference_depth=reference_depth)
    played = _play(source, out, seconds, model, device, console)

    from diception_ros.bags.page import write_page

    with console.status('comparing and drawing'):
        report = write_page(source, played, out)
    console.print(report.table())
    _complain_of_silence(source, played)
    console.print(f'{out}/index.html  ({time.monotonic() - begin:.0f} s)')


def _make_camera(path: Path, frames: int, seed: int, console) -> None:
    """Record a camera that moves through a made-up world."""
    from rich.progress import track

    from diception_ros.bags import rosbag2 as bags
    from diception_ros.lab.synthetic import camera_move

    # A small copy of the same move tells which thing stays in view and is worth a click.
    with console.status('looking for something to click'):
        clicked = bags.thing_to_click(camera_move(seed, frames=frames, size=(160, 120)))
    views = track(camera_move(seed, frames=frames), f'recording {path}', frames, console=console)
    bags.write_camera_bag(path, views, clicked)


def _play(
    source: Source, out: Path, seconds: float, model: str, device: str, console
) -> Played:
    """Start the node, play the bag, record the answers."""
    from rich.progress import BarColumn, Progress, TextColumn

    from diception_ros.bags import rosbag2 as bags
    from diception_ros.bags.live import (
        NAMESPACE,
        Graph,
        introduce,
        node_process,
        queues,
        wait_until,
    )
    from diception_ros.bags.recording import Recorder, busy, play

    outputs = [f'{NAMESPACE}/{name}' for name in source.expected]
    parameters = {
        'model': model, 'device': device, 'tasks': ','.join(TASKS),
        'image_transport': 'compressed' if source.compressed else 'raw',
        **queues(outputs, 'publisher', depth=10),
    }
    played = Played(model, device)
    nobody_clicks = 'clicked_pixel' not in source.side
    with bags.BagReader(source.path) as bag:
        _, _, first = next(bag.messages([source.image]))
    width, height = bags.size_of(first, source.image_type)
    middle = bags.encode(bags.make('geometry_msgs/msg/Point', x=width / 2, y=height / 2, z=0.0))
    with (
        node_process(out / 'node.log', parameters, source.remaps) as node,
        bags.BagReader(source.path) as bag,
        Recorder(out / 'outputs') as recorder,
        Graph(recorder.heard, 'demo') as graph,
    ):
        def quiet() -> bool:
            """Whether all that was asked is answered, and the answers are here."""
            return not busy(recorder.counts) and time.monotonic() - recorder.last > 1.5

        with console.status(f'starting diception_node (model {model}, {device})'):
            offers = {topic: bag.topics[topic].type for topic in source.topics}
            if nobody_clicks:
                offers[CLICKS] = 'geometry_msgs/msg/Point'
            for topic, msgtype in introduce(graph, node, source.image, offers, outputs).items():
                recorder.expect(topic, msgtype, latched=topic.endswith('label_info'))
                graph.hear(topic, msgtype, depth=10)
            # One frame ahead of the recording, until its answers show that everybody hears
            # everybody. Discovery has no other end that can be seen from here.
            ahead = bags.restamped(first, max(0, bags.stamp_of(first) - 10**9))
            always = {f'{NAMESPACE}/{name}' for name in FROM_IMAGE}
            for _ in range(6):
                graph.publish(source.image, ahead)
                if wait_until(lambda: always <= recorder.early, node.check, 5):
                    break
            wait_until(quiet, node.check, 60)

        def click(point: bytes) -> None:
            where = bags.decode(point, 'geometry_msgs/msg/Point')
            played.clicked.append((len(played.sent), (where.x, where.y)))

        def published(topic: str, stamp: int, data: bytes, moment: float) -> None:
            node.check()
            if topic == source.image:
                played.sent[bags.stamp_of(data)] = moment
                progress.advance(task)
                if nobody_clicks and len(played.sent) == 3:
                    graph.publish(CLICKS, middle)
                    click(middle)
            elif topic == source.side.get('clicked_pixel'):
                click(data)

        with Progress(TextColumn('{task.description}'), BarColumn(),
                      TextColumn('{task.completed:.0f}/{task.total:.0f} frames'),
                      console=console) as progress:
            task = progress.add_task(f'playing {source.path}', total=source.frames)
            recorder.begin(time.monotonic(), bag.start)
            play(bag, source.topics, graph, seconds, published)
            progress.update(task, total=len(played.sent))
        with console.status('waiting for the last answers'):
            time.sleep(1.2)  # for the diagnostics that know the last frame
            wait_until(quiet, node.check, 60)
    played.arrivals = recorder.arrivals
    return played


def _complain_of_silence(source: Source, played: Played) -> None:
    """Raise Failure that names the expected outputs on which nothing came."""
    from diception_ros.bags.live import NAMESPACE

    heard = {arrival.topic for arrival in played.arrivals}
    silent = [f'{NAMESPACE}/{name}' for name in source.expected
              if f'{NAMESPACE}/{name}' not in heard]
    if silent:
        raise Failure(
            f'nothing came on {", ".join(silent)} in {len(played.sent)} frames; see node.log '
            'beside the page'
        )
