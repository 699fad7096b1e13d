# SPDX-License-Identifier: Apache-2.0
"""`diception replay`: a bag through the live node, frame by frame, so that nothing is dropped.

Each picture is sent when the one before is answered, and only after the node has taken everything
that was recorded before it. So the same bag, model, parameters and seed give the same messages,
byte for byte, on the same machine: a regression test of perception for a user's CI.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from diception_ros.bags.recording import NodeReports, send_ahead
from diception_ros.bags.source import FROM_IMAGE, ONCE, Source, sources_of
from diception_ros.errors import Failure
from diception_ros.output_folder import OutputFolder, log_file
from diception_ros.progress import Progress
from diception_ros.tasks import DEFAULT_TASKS

LOST = 30.0  # seconds of a node without work after which a frame's answer must be lost
# Of the node, but about the moment of the run and not about the pictures.
NOT_PERCEPTION = ('/diagnostics', 'debug/latency_ms')


def replay(
    bag: Annotated[Path, typer.Argument(help='A rosbag2 (mcap or sqlite3), raw or compressed.')],
    out: Annotated[Path, typer.Option(help='The new bag: a new or an empty folder.')],
    image_topic: Annotated[list[str] | None, typer.Option(
        help='Its topic of pictures (default: the only one). Repeat it for several cameras.'
        )] = None,
    reference_depth: Annotated[str | None, typer.Option(
        help='Its depth pictures (default: reference_depth beside the pictures).')] = None,
    outputs: Annotated[str | None, typer.Option(
        help='Only these outputs, with commas, such as depth/relative,poses.')] = None,
    tasks: Annotated[str | None, typer.Option(
        help=f"The node's tasks (default: {','.join(DEFAULT_TASKS)}).")] = None,
    model: Annotated[str | None, typer.Option(
        help='nano (the default), or a model directory.')] = None,
    device: Annotated[str | None, typer.Option(help='cpu (the default) or cuda.')] = None,
    params_file: Annotated[Path | None, typer.Option(
        help="The node's parameters, also tasks, model and device where they are not given here."
        )] = None,
    with_input: Annotated[bool, typer.Option(
        help='Copy the bag that was played into the new one.')] = True,
    compare: Annotated[Path | None, typer.Option(
        help='A bag of an earlier replay: report what changed.')] = None,
    tolerance: Annotated[float, typer.Option(
        min=0.0, help='Largest difference of any message that is not a failure, 0 to 1.')] = 0.0,
    overwrite: Annotated[bool, typer.Option(
        '--overwrite', help='Replace the bag of an earlier replay; no other file is ever replaced.'
        )] = False,
) -> None:
    """Replay a bag through the node frame by frame, nothing dropped, everything recorded.

    \b
    diception replay drive --out seen
    diception replay drive --out now --no-with-input --compare golden --tolerance 0.01

    Exit status 1 where --compare finds a difference over the tolerance. A difference is the mean
    distance of a message's numbers, as a share of the range of the golden ones; for label images
    the share of pixels that differ; 1 for a message that is missing or new.
    """
    from rich.console import Console

    from diception_ros.bags import rosbag2 as bags

    console = Console(highlight=False)
    if params_file is not None and not params_file.exists():
        raise Failure(f'{params_file}: no such parameter file')
    output = OutputFolder(out, 'diception replay', overwrite=overwrite, inputs=[
        one for one in (bag, params_file, compare, model) if one is not None])
    output.check()
    if compare is not None:
        with bags.BagReader(compare):  # before the long work
            pass
    sources = sources_of(bag, image_topic or [], reference_depth)
    if with_input:
        _refuse_to_mix(bag)
    for note in sources[0].notes:
        console.print(note, soft_wrap=True)
    given = {'tasks': tasks, 'model': model, 'device': device}
    defaults = {} if params_file else {
        'tasks': ','.join(DEFAULT_TASKS), 'model': 'nano', 'device': 'cpu'}
    parameters = {**defaults, **{name: value for name, value in given.items() if value}}
    only = [name.strip() for name in outputs.split(',')] if outputs else None
    begin, frames, unusable = time.monotonic(), 0, 0
    with output as beside:
        with (
            log_file(beside, 'node.log') as log,
            Progress('copying the bag') as progress,
            bags.BagWriter(beside) as writer,
        ):
            if with_input:
                _copy(bag, writer)
            for source in sources:
                prefix = f'{source.name}/' if source.name else ''
                bad = _through(source, writer, prefix, only, parameters, params_file, log, progress)
                frames, unusable = frames + source.frames, unusable + bad
        if with_input and (wrong := bags.copied_wrongly(bag, beside)):
            raise Failure(wrong)
    seconds = time.monotonic() - begin
    console.print(f'{out}: {frames} frames in {seconds:.0f} s'
                  + (f', {unusable} of them unusable pictures' if unusable else ''),
                  soft_wrap=True)
    if compare is not None:
        from diception_ros.bags.comparing import compare_bags

        report = compare_bags(out, compare)
        console.print(report.table(tolerance))
        if report.worst > tolerance:
            raise Failure(
                f'{report.worst_topic} differs from {compare} by {report.worst:.3g}, more than '
                f'--tolerance {tolerance:g}'
            )


def _refuse_to_mix(bag: Path) -> None:
    """Raise Failure where a copy of the bag would mix its own results with those to come."""
    from diception_ros.bags import rosbag2 as bags
    from diception_ros.bags.live import NAMESPACE

    with bags.BagReader(bag) as reader:
        for channel in reader.channels:
            if channel.topic.startswith(f'{NAMESPACE}/'):
                raise Failure(f'{bag}: it has results of the node already ({channel.topic}), which '
                              'would mix with the new ones: give --no-with-input')


def _copy(bag: Path, writer) -> None:
    """Copy a bag's messages with their definitions and quality of service."""
    from diception_ros.bags import rosbag2 as bags

    with bags.BagReader(bag) as reader:
        for channel, stamp, data in reader.records():
            writer.copy(channel, stamp, data)


class _Turn:
    """Hears the node, and tells when it has done with the frame that it was sent."""

    def __init__(self) -> None:
        self.answered = 0
        self.unusable = 0  # pictures that the node refused: known once a second, by diagnostics
        self.last = time.monotonic()
        self._sent = 0
        self.reports = NodeReports()
        self._before: dict[str, int] = {}
        self._heard: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()

    def hear(self, topic: str, moment: float, data: bytes) -> None:
        """Take one message of the node; called in the thread that hears."""
        with self._changed:
            if topic.endswith('debug/latency_ms'):  # the last word about each frame
                self.answered += 1
            elif topic == '/diagnostics':
                self.reports.hear(moment, data)
                self.unusable = self._since_begin('unusable')
            else:
                self._heard.append((topic, data))
                self.last = moment
            self._changed.notify_all()

    def meet(self, graph, node, image: str, first: bytes, topics) -> list[tuple[str, bytes]]:
        """Return when everybody hears everybody, with the latched messages."""
        from diception_ros.bags.live import NAMESPACE

        always = {f'{NAMESPACE}/{name}' for name in FROM_IMAGE} & set(topics)
        send_ahead(graph, node, self.reports, image, first,
                   lambda: always <= {topic for topic, _ in list(self._heard)})
        graph.settled()
        self.reports.forget_idleness()
        while self.reports.idle() < 1:
            self.reports.check(node)
            time.sleep(0.05)
        return [(topic, data) for topic, data in self.take() if topic.endswith(ONCE)]

    def begin(self) -> None:
        """Count from here."""
        with self._changed:
            self.answered = self.unusable = 0
            self._before = dict(self.reports.counts)

    def _since_begin(self, what: str) -> int:
        return self.reports.counts.get(what, 0) - self._before.get(what, 0)

    def await_answer(self, node, frame: str) -> None:
        """Wait until the frame just sent is answered, or refused as no usable picture.

        That is as long as the node says that it works: one frame may take minutes.
        """
        self._sent += 1
        self.reports.forget_idleness()
        with self._changed:
            while self.answered + self.unusable < self._sent:
                self._changed.wait(0.5)
                self.reports.check(node)
                if self._since_begin('failed'):
                    raise Failure(f'{frame}: diception_node failed: {node.last_words()}')
                if self.reports.idle() > LOST:
                    raise Failure(f'{frame}: the node has nothing more to do, but its answer did '
                                  f'not come: {node.last_words()}')

    def take(self) -> list[tuple[str, bytes]]:
        """What was heard since the last call."""
        with self._changed:
            heard, self._heard = self._heard, []
        return heard


def _through(
    source: Source, writer, prefix: str, only: list[str] | None, parameters: dict,
    params_file: Path | None, log: Path, progress: Progress,
) -> int:
    """Play one camera of a bag; the number of pictures that the node could not use."""
    from diception_ros.bags import rosbag2 as bags
    from diception_ros.bags.live import NAMESPACE, NODE, Graph, introduce, node_process, queues

    outputs = [f'{NAMESPACE}/{name}' for name in only or source.expected]
    parameters = {
        **parameters,
        'drop_frames': False,
        'image_transport': 'compressed' if source.compressed else 'raw',
        **queues(outputs, 'publisher', depth=1000),
        **queues(source.side.values(), 'subscription', depth=1000, reliability='reliable'),
    }
    turn = _Turn()
    progress.stage('starting diception_node')
    with (
        node_process(log, parameters, source.remaps, params_file) as node,
        bags.BagReader(source.path) as bag,
        Graph(turn.hear, 'replay') as graph,
    ):
        offers = {topic: bag.topics[topic].type for topic in source.topics}
        offered = introduce(graph, node, source.image, offers, outputs)
        types = {
            topic: msgtype for topic, msgtype in offered.items()
            if topic in outputs or (not only and not topic.endswith(NOT_PERCEPTION))
        }
        for topic in (*types, '/diagnostics', f'{NODE}/debug/latency_ms'):
            graph.hear(topic, offered[topic], depth=1000)
        _, first = bag.first(source.image)
        progress.stage('waiting for the first answer')
        latched = turn.meet(graph, node, source.image, first, types)

        frames: dict[int, int] = {}  # stamp -> its time in the bag
        came: Counter[str] = Counter()

        def keep(messages) -> None:
            for topic, data in messages:
                headed = bags.has_header(types[topic]) and not topic.endswith(ONCE)
                moment = frames.get(bags.stamp_of(data)) if headed else min(frames.values())
                if moment is None:  # of the frame that was sent ahead
                    continue
                name = f'{NAMESPACE}/{prefix}{topic.removeprefix(NAMESPACE + "/")}'
                if name not in writer.topics:
                    writer.add(name, types[topic], latched=topic.endswith(ONCE))
                writer.write(name, moment, bags.canonical(data, types[topic]))
                came[topic] += 1

        turn.begin()
        waiting: set[str] = set()  # side inputs that the node may not have taken yet
        progress.stage(f'replaying {source.image}', total=source.frames)
        for topic, moment, data in bag.messages(source.topics):
            if topic != source.image:
                graph.publish_surely(topic, data)
                waiting.add(topic)
                continue
            if waiting:
                for side in waiting:
                    graph.delivered(side, 10.0)
                graph.settled()
                waiting.clear()
            frames[bags.stamp_of(data)] = moment
            graph.publish(topic, data)
            turn.await_answer(node, f'frame {len(frames)} of {source.image}')
            keep([*latched, *turn.take()])
            latched.clear()
            progress.advance()
        while time.monotonic() - turn.last < 1.5:
            time.sleep(0.1)
        keep(turn.take())
    for name in FROM_IMAGE:
        number = came[f'{NAMESPACE}/{name}']
        if number not in (0, turn.answered):
            raise Failure(f'{name}: {number} messages for {turn.answered} answered frames')
    if not came:
        raise Failure(f'nothing came on {", ".join(outputs)}; see {log}')
    return turn.unusable
