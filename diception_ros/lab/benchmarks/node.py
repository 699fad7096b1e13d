# SPDX-License-Identifier: Apache-2.0
"""`diception bench node`: what ROS and the node add to the model, beside a bare rclpy node.

The bare node echoes the same picture, and then answers it with messages as large as the node's,
made beforehand: the time under which no node in Python comes that sends as much. It gets its
pictures as far apart as the node: one after the other, everything is still in the caches and no
core has gone to sleep, which takes a third of the time and happens to no camera.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from diception_ros.bags.live import NODE
from diception_ros.bags.source import FROM_IMAGE
from diception_ros.errors import Failure
from diception_ros.ros.child_processes import ending_with_us
from diception_ros.tasks import DEFAULT_TASKS

SIZES = ((640, 480), (1280, 720))
IMAGE = '/bench/image'
LATENCY = f'{NODE}/debug/latency_ms'
ANSWER = '/bench/answer'
# The goals: added time as a multiple of the echo's round trip.
DEPTH_ONLY, ALL_OUTPUTS = 1.3, 2.5

# The shortest node there is. Without arguments it sends the picture back; with numbers, one ready
# message of so many bytes each.
BARE = f"""
import array
import sys
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
sizes = [int(size) for size in sys.argv[1:]]
ready = [Image(data=array.array('B', bytes(size))) for size in sizes]
rclpy.init()
node = rclpy.create_node('bare')
publishers = [node.create_publisher(Image, f'{ANSWER}{{n}}', 1) for n in range(len(ready) or 1)]
def answer(picture):
    for publisher, message in zip(publishers, ready or [picture]):
        message.header = picture.header
        publisher.publish(message)
quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
node.create_subscription(Image, '{IMAGE}', answer, quality)
rclpy.spin(node)
"""


def node(
    frames: Annotated[int, typer.Option(min=3, help='Frames per measurement.')] = 40,
    model: Annotated[str, typer.Option(help='nano, or a model directory.')] = 'nano',
    device: Annotated[str, typer.Option(help='cpu or cuda.')] = 'cpu',
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False,
) -> None:
    """Time from publishing a picture to receiving each output, minus the model's own time.

    \b
    diception bench node
    diception bench node --json --model my_model --device cuda

    Frames go one by one. Beside it the round trip of a bare rclpy echo of the same picture, and of
    a bare rclpy node that sends as many bytes as the node does, at the node's pace. The echo that
    gets one picture right after the other is there as well.
    """
    from rich.console import Console

    from diception_ros.progress import Progress
    from diception_ros.ros.memory import keep_freed_memory

    keep_freed_memory()  # as a listener of many pictures should
    results = []
    with Progress('measuring') as progress:
        for size in SIZES:
            seen = f'{size[0]}x{size[1]}'
            progress.stage(f'echo at {seen}')
            hot = _bare(size, frames)
            for what, outputs, goal in (
                ('depth only', ('depth/relative',), DEPTH_ONLY),
                ('all outputs', FROM_IMAGE, ALL_OUTPUTS),
            ):
                progress.stage(f'{what} at {seen}')
                measured = _node(size, frames, outputs, model, device)
                sizes, pace = measured.pop('bytes'), measured['last_ms'] / 1000
                echo = _bare(size, frames, pace=pace)
                floor = _bare(size, frames, sizes, pace)
                added = measured['added_ms']
                results.append({
                    'size': seen, 'outputs': what, 'megabytes': sum(sizes) / 1e6,
                    'hot_echo_ms': hot, 'echo_ms': echo, 'floor_ms': floor, **measured,
                    'times_echo': added / echo, 'goal': goal, 'times_floor': added / floor,
                })
    if as_json:
        print(json.dumps({'model': model, 'device': device, 'frames': frames,
                          'results': results}, indent=2))
    else:
        Console().print(_table(results))


def _table(results: list[dict]):
    from rich.table import Table

    table = Table(title='median ms of frames sent one by one')
    for column in ('outputs', 'MB', 'echo', 'floor', 'last', 'model', 'added', '/ echo',
                   '/ floor'):
        table.add_column(column, justify='right')
    for one in results:
        table.add_row(
            f'{one["size"]}\n{one["outputs"]}', f'{one["megabytes"]:.1f}',
            f'{one["echo_ms"]:.1f}\nhot {one["hot_echo_ms"]:.1f}',
            *(f'{one[key]:.1f}' for key in ('floor_ms', 'last_ms', 'model_ms', 'added_ms')),
            f'{one["times_echo"]:.2f}\n<= {one["goal"]}', f'{one["times_floor"]:.2f}',
        )
    return table


class _Laps:
    """Notes for each frame when its messages came back."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._times: dict[str, float] = {}
        self._bytes: dict[str, int] = {}
        self._stages: dict[str, float] = {}
        self._stamp = -1
        self.totals: list[float] = []  # of each lap, as the node says it: from callback to publish

    def hear(self, topic: str, moment: float, data: bytes) -> None:
        from diception_ros.bags import rosbag2 as bags

        with self._changed:
            if topic == '/diagnostics':
                self._stages = _stages(data)
            elif topic == LATENCY:
                self.totals.append(bags.decode(data, 'std_msgs/msg/Float64').data)
                self._times[topic] = moment
            elif bags.stamp_of(data) == self._stamp:
                self._times.setdefault(topic, moment)
                self._bytes[topic] = len(data)
            self._changed.notify_all()

    def lap(self, graph, data: bytes, stamp: int, topics: set[str],
            seconds: float) -> dict[str, float]:
        """Send a picture; milliseconds until each of the topics answered it. Empty: too long."""
        from diception_ros.bags import rosbag2 as bags

        with self._changed:
            self._stamp, self._times = stamp, {}
        data = bags.restamped(data, stamp)
        begin = time.monotonic()
        graph.publish(IMAGE, data)
        with self._changed:
            if not self._changed.wait_for(lambda: topics <= set(self._times), seconds):
                return {}
            return {topic: (self._times[topic] - begin) * 1000 for topic in topics - {LATENCY}}

    def sizes(self) -> list[int]:
        """Bytes of the last message of each topic."""
        with self._changed:
            return list(self._bytes.values())

    def stages(self) -> dict[str, float]:
        """The node's next report of its stages: median ms."""
        with self._changed:
            self._stages = {}
            self._changed.wait_for(lambda: self._stages, 3.0)
            return dict(self._stages)


def _stages(data: bytes) -> dict[str, float]:
    """'latency <stage> median ms' of /diagnostics."""
    from diception_ros.bags import rosbag2 as bags

    message = bags.decode(data, 'diagnostic_msgs/msg/DiagnosticArray')
    return {
        pair.key.split()[1]: float(pair.value)
        for status in message.status for pair in status.values
        if pair.key.startswith('latency ') and pair.key.endswith(' median ms')
    }


def _picture(size: tuple[int, int]) -> bytes:
    """A CDR picture of a made-up scene."""
    from diception_ros.bags import rosbag2 as bags
    from diception_ros.lab.synthetic import random_view

    rgb = random_view(7, size).rgb
    return bags.encode(bags.image(bags.header(0, 'bench'), rgb, 'rgb8'))


def _laps(
    laps: _Laps, graph, size, frames: int, topics: set[str], alive, pace: float = 0.0
) -> list[dict[str, float]]:
    """`frames` laps after those that it takes to get going, `pace` seconds apart."""
    picture, measured, going = _picture(size), [], 0
    for stamp in range(1, 20 + frames + 10):
        alive()
        time.sleep(pace)
        lap = laps.lap(graph, picture, stamp * 10**9, topics, 30.0 if measured else 5.0)
        if not lap and measured:
            raise Failure(f'a frame of {size[0]}x{size[1]} came not back on all of {len(topics)}')
        going += bool(lap)
        if going > 5 and lap:
            measured.append(lap)
        if len(measured) == frames:
            return measured
    raise Failure(f'frames of {size[0]}x{size[1]} do not come back on {", ".join(sorted(topics))}')


def _bare(size: tuple[int, int], frames: int, answers: Sequence[int] = (),
          pace: float = 0.0) -> float:
    """Median round trip of the bare node, ms: of its echo, or until the last of its `answers`."""
    from diception_ros.bags.live import Graph, wait_until
    from diception_ros.ros.isolation import own_graph

    topics = {f'{ANSWER}{n}' for n in range(len(answers) or 1)}
    laps = _Laps()
    with (
        own_graph(),
        _running(BARE, answers) as process,
        Graph(laps.hear, 'bench', partner='/bare') as graph,
    ):
        graph.offer(IMAGE, 'sensor_msgs/msg/Image')

        def alive() -> None:
            if process.poll() is not None:
                raise Failure(f'the bare node ended with status {process.returncode}')

        wait_until(lambda: graph.listeners(IMAGE) > 0 and all(map(graph.hears, topics)), alive, 60)
        for topic in topics:
            graph.hear(topic, 'sensor_msgs/msg/Image', depth=1)
        measured = _laps(laps, graph, size, frames, topics, alive, pace)
        return statistics.median(max(lap.values()) for lap in measured)


@contextlib.contextmanager
def _running(code: str, arguments: Sequence[int]) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen([sys.executable, '-c', code, *map(str, arguments)],
                               start_new_session=True, env=ending_with_us())
    try:
        yield process
    finally:
        process.kill()  # it has nothing to put in order, and would complain
        process.wait()


def _node(
    size: tuple[int, int], frames: int, outputs: tuple[str, ...], model: str, device: str
) -> dict[str, float]:
    """Medians of each output's lap and of the last one's, of the model's own time, and of what is
    added to it, ms."""
    from diception_ros.bags.live import NAMESPACE, Graph, introduce, node_process

    topics = {f'{NAMESPACE}/{name}' for name in outputs}
    parameters = {'model': model, 'device': device, 'tasks': ','.join(DEFAULT_TASKS)}
    laps = _Laps()
    with (
        tempfile.TemporaryDirectory() as folder,
        node_process(Path(folder) / 'node.log', parameters, {'image': IMAGE}) as process,
        Graph(laps.hear, 'bench') as graph,
    ):
        offered = introduce(graph, process, IMAGE, {IMAGE: 'sensor_msgs/msg/Image'},
                            {*topics, LATENCY})
        for topic in (*topics, LATENCY, '/diagnostics'):
            graph.hear(topic, offered[topic], depth=1)
        measured = _laps(laps, graph, size, frames, {*topics, LATENCY}, process.check)
        stages = laps.stages()
    if 'infer' not in stages:
        raise Failure('diception_node reports no latency of its stage infer on /diagnostics')
    # Frame by frame, or the model's ups and downs would drown what is added to it.
    laps_of = np.array([max(lap.values()) for lap in measured])
    added = float(np.median(laps_of - laps.totals[-frames:])
                  + sum(stages[stage] for stage in ('wait', 'convert', 'publish')))
    last = float(np.median(laps_of))
    return {
        'last_ms': last,
        'model_ms': last - added,
        'added_ms': added,
        'stages_ms': stages,
        'outputs_ms': {name: statistics.median(lap[f'{NAMESPACE}/{name}'] for lap in measured)
                       for name in outputs},
        'bytes': laps.sizes(),
    }
