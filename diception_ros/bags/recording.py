# SPDX-License-Identifier: Apache-2.0
"""Playing a bag to a live node in real time and recording all that it answers."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.live import Graph, NodeProcess
from diception_ros.errors import Failure

SILENCE = 60.0  # seconds without /diagnostics, due every second, before a node counts as stuck
LOST = 5.0  # seconds of a node without work after which what was sent to it must be lost
TRIES = 6  # times that a frame may be lost before the recording begins
EARLY = 2.0  # seconds of messages before the first picture that a node may still need: /tf
LATCHED = ('/tf_static',)  # of what a node listens to
ROOM = 2**30  # bytes that may wait for the disk; then the node's publishers wait, or drop


def frame_counts(data: bytes) -> dict[str, int]:
    """The counters 'frames ...' of the node's /diagnostics: received, answered, dropped, ..."""
    message = bags.decode(data, 'diagnostic_msgs/msg/DiagnosticArray')
    return {
        pair.key.removeprefix('frames '): int(pair.value)
        for status in message.status for pair in status.values
        if pair.key.startswith('frames ') and pair.value.isdigit()
    }


def busy(counts: dict[str, int]) -> bool:
    """Whether a node with these counters still has a frame to answer."""
    ends = ('answered', 'dropped', 'unusable', 'failed', 'unasked')
    done = sum(counts.get(end, 0) for end in ends)
    return counts.get('received', 0) > done


class NodeReports:
    """What a node says about its work, once a second, in /diagnostics."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._last = time.monotonic()
        self._idle_since: float | None = None

    def hear(self, moment: float, data: bytes) -> None:
        """Take one message of /diagnostics; called in the thread that hears."""
        self.counts = frame_counts(data)
        self._last = moment
        if busy(self.counts):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = moment

    def forget_idleness(self) -> None:
        """A frame is on its way: what the node said before, or did not say, does not count."""
        self._idle_since, self._last = None, time.monotonic()

    def idle(self) -> float:
        """For how many seconds it has said again and again that nothing is under way."""
        return 0.0 if self._idle_since is None else self._last - self._idle_since

    def check(self, node: NodeProcess) -> None:
        """Raise Failure where the node has ended, or says nothing any more."""
        node.check()
        if time.monotonic() - self._last > SILENCE:
            raise Failure(f'diception_node has said nothing for {SILENCE:.0f} s: '
                          f'{node.last_words()}')


def send_ahead(
    graph: Graph, node: NodeProcess, reports: NodeReports, image: str, first: bytes,
    met: Callable[[], bool],
) -> None:
    """Send one frame ahead of the recording until its answers show that everybody hears everybody.

    Discovery has no other end that can be seen from here: `met()` tells it. The frame may take the
    node minutes; it is sent again only when the node says that it has nothing to do, TRIES times at
    most: it may be no usable picture. Raises Failure if the node never got one.
    """
    ahead = bags.restamped(first, max(0, bags.stamp_of(first) - 10**9))
    for _ in range(TRIES):
        reports.forget_idleness()
        graph.publish(image, ahead)
        while reports.idle() < LOST:
            if met():
                return
            reports.check(node)
            time.sleep(0.05)
    if not reports.counts.get('received'):
        raise Failure(f'diception_node does not get {image}: {node.last_words()}')


@dataclass(frozen=True)
class Arrival:
    """One message that came back: when, for which frame."""

    topic: str
    stamp: int   # of its header, nanoseconds: the frame that it answers
    time: float  # when it came, seconds of time.monotonic()


class Recorder:
    """Writes messages into a bag from a thread of its own, and remembers when they came.

    Nothing but latched messages is kept before `begin`: until then it only notes in `early` which
    topics were heard at all.
    """

    def __init__(self, path: Path) -> None:
        self.arrivals: list[Arrival] = []
        self.early: set[str] = set()
        self.last = time.monotonic()
        self.reports = NodeReports()
        self._begins: tuple[float, int] | None = None
        self._types: dict[str, str] = {}
        self._headed: dict[str, bool] = {}
        self._latched: set[str] = set()
        self._path = path
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()
        self._held = 0  # bytes that wait to be written
        self._room = threading.Condition()
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._write, name='record', daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def expect(self, topic: str, msgtype: str, latched: bool = False) -> None:
        """Name the type of a topic before its first message comes."""
        self._types[topic] = msgtype
        self._headed[topic] = bags.has_header(msgtype) and topic != '/diagnostics'
        if latched:
            self._latched.add(topic)

    def begin(self, moment: float, stamp: int) -> None:
        """Record from now on; `moment` of time.monotonic() is nanosecond `stamp` of the bag."""
        self._begins = (moment, stamp)

    def heard(self, topic: str, moment: float, data: bytes) -> None:
        """Take one message; called in the thread that hears."""
        if topic == '/diagnostics':
            self.reports.hear(moment, data)
        if self._begins is None:
            self.early.add(topic)
            if topic not in self._latched:
                return
        if self._headed[topic]:
            self.arrivals.append(Arrival(topic, bags.stamp_of(data), moment))
            self.last = moment
        with self._room:
            self._room.wait_for(lambda: self._held < ROOM or self._failed)
            self._held += len(data)
        self._waiting.put((topic, moment, data))

    def _write(self) -> None:
        try:
            with bags.BagWriter(self._path) as bag:
                early = []
                while (item := self._waiting.get()) is not None:
                    if self._begins is None:
                        early.append(item)
                        continue
                    begin, offset = self._begins
                    for topic, moment, data in [*early, item]:
                        if topic not in bag.topics:
                            bag.add(topic, self._types[topic], topic in self._latched)
                        time_of = offset + max(0, round((moment - begin) * 1e9))
                        bag.write(topic, time_of, data)
                        with self._room:
                            self._held -= len(data)
                            self._room.notify()
                    early.clear()
        except Exception as error:  # handed to the thread that waits for us
            with self._room:
                self._failed = error
                self._room.notify()


def play(
    bag: bags.BagReader,
    topics: Iterable[str],
    graph: Graph,
    seconds: float,
    published: Callable[[str, int, bytes, float], None],
) -> None:
    """Publish `seconds` of a bag's topics, the pictures last of them, from the first picture on.

    At the pace they were recorded at. A recording may begin long before its pictures: what precedes
    them goes out at once, as the node would know it by then: all that is latched, the last message
    of every topic, and what came in the last EARLY seconds.
    `published(topic, time, data, moment)` is told of each message just sent, `moment` in seconds
    of time.monotonic().
    """
    *_, pictures = topics = list(topics)
    begin, early = None, {topic: deque() for topic in topics}
    for topic, stamp, data in bag.messages(topics):
        if begin is None and topic != pictures:
            early[topic].append((stamp, data))
            while topic not in LATCHED and stamp - early[topic][0][0] > EARLY * 1e9:
                early[topic].popleft()
            continue
        if begin is None:
            for other, messages in early.items():
                recent = [one for one in messages if stamp - one[0] <= EARLY * 1e9]
                for time_of, one in messages if other in LATCHED else recent or [*messages][-1:]:
                    moment = time.monotonic()
                    graph.publish_surely(other, one)
                    published(other, time_of, one, moment)
            begin, first = time.monotonic(), stamp
        due = begin + (stamp - first) / 1e9
        if due - begin > seconds:
            return
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        moment = time.monotonic()
        graph.publish(topic, data)
        published(topic, stamp, data, moment)
