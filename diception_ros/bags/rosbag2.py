# SPDX-License-Identifier: Apache-2.0
"""Reading and writing rosbag2 (mcap and sqlite3) without rclpy.

Messages travel as the CDR bytes that are in the bag: what is published is what was recorded, and
what is recorded is what arrived. `decode` and `encode` are for the few that must be looked into.
`write_camera_bag` records a camera that moves through a made-up world, with the truth beside it.
"""

from __future__ import annotations

import functools
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from diception_ros.bags.storage import (
    DEFAULT_QOS,
    KINDS,
    LATCHED_QOS,
    Channel,
    McapFile,
    Metadata,
    Sqlite3File,
    open_file,
    unpack,
)

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
SHARE = 'share/diception_ros/msg'
NO_DIGEST = 'RIHS01_' + 64 * '0'  # rosidl's zero: of a type that nobody knows


class BagError(ValueError):
    """A bag that cannot be read, or lacks what is asked of it. One line."""


# --- types ------------------------------------------------------------------------------------


def message_texts() -> dict[str, str]:
    """The package's own messages: type name -> text of its .msg file.

    They lie in `msg/` of a checkout and in `share/diception_ros/msg` of an installation.
    """
    here = Path(__file__).resolve()
    for parent in here.parents:
        for folder in (parent / SHARE, parent / 'msg'):
            files = sorted(folder.glob('*.msg'))
            if (folder / 'EntityArray.msg') in files:
                return {f'diception_ros/msg/{file.stem}': file.read_text() for file in files}
    raise BagError(f'{SHARE} is not beside {here}: reinstall diception_ros')


@functools.cache
def types():
    """Rosbags' type store: everything of ROS 2 and our own messages."""
    store = get_typestore(Stores.ROS2_KILTED)
    for name, text in message_texts().items():
        store.register(get_types_from_msg(text, name))
    return store


def decode(data: bytes, msgtype: str):
    """CDR bytes -> a message (rosbags' class; arrays of numbers are numpy arrays)."""
    try:
        return types().deserialize_cdr(data, msgtype)
    except (KeyError, ValueError, IndexError, struct.error, AssertionError) as error:
        raise BagError(f'a {msgtype} of {len(data)} bytes is not readable: {error}') from None


def encode(message) -> bytes:
    """A message of rosbags' classes -> CDR bytes."""
    return bytes(types().serialize_cdr(message, message.__msgtype__))


def canonical(data: bytes, msgtype: str) -> bytes:
    """The same message with nothing but zeros between its fields.

    Other serialisers leave there what was in memory before, so that equal messages differ.
    """
    return encode(decode(data, msgtype))


def make(msgtype: str, **fields):
    """A message of a type by its name: `make('geometry_msgs/msg/Point', x=1., y=2., z=0.)`."""
    return types().types[msgtype](**fields)


def has_header(msgtype: str) -> bool:
    """Whether a message of this type begins with a std_msgs/Header."""
    fields = types().fielddefs.get(msgtype, ((), ()))[1]
    return bool(fields) and fields[0][0] == 'header'


def stamp_of(data: bytes) -> int:
    """Header stamp, nanoseconds, of the CDR bytes of a message that begins with a header."""
    seconds, nanoseconds = struct.unpack_from('<iI' if data[1] & 1 else '>iI', data, 4)
    return seconds * 10**9 + nanoseconds


def restamped(data: bytes, stamp: int) -> bytes:
    """The same CDR bytes with another header stamp, nanoseconds."""
    time = struct.pack('<iI' if data[1] & 1 else '>iI', stamp // 10**9, stamp % 10**9)
    return data[:4] + time + data[12:]


def size_of(data: bytes, msgtype: str) -> tuple[int, int]:
    """(width, height) of an Image or CompressedImage; raises BagError where it is no picture."""
    message = decode(data, msgtype)
    if msgtype == IMAGE_TYPES[0]:
        return message.width, message.height
    picture = cv2.imdecode(message.data, cv2.IMREAD_COLOR) if message.data.size else None
    if picture is None:
        raise BagError(f'a compressed picture of format {message.format!r} is not readable')
    return picture.shape[1], picture.shape[0]


# --- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Topic:
    """One topic of a bag."""

    name: str
    type: str
    count: int


class BagReader:
    """A rosbag2: a directory, or one .mcap or .db3 file.

    with BagReader('camera') as bag:
        for topic, stamp, data in bag.messages(['/camera/image_raw']): ...

    What can be read is read; `notes` say in a line each what cannot. `topics` are those that can be
    used, by name; `channels` all that there is, also topics of several types and types that nobody
    knows here.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise BagError(f'{self.path}: no such bag')
        self.notes: list[str] = []
        self._unpacked = tempfile.TemporaryDirectory(prefix='diception_bag_')
        try:
            self._files = sorted(self._opened(), key=lambda file: file.start)
        except BaseException:
            self._unpacked.cleanup()
            raise
        self._gather()

    def _opened(self) -> Iterator[McapFile | Sqlite3File]:
        """The files of the bag, opened."""
        self._metadata, paths = Metadata(), [self.path]
        if self.path.is_dir():
            self._metadata = Metadata.of(self.path / 'metadata.yaml')
            paths = [self.path / name for name in self._metadata.files] or sorted(
                file for file in self.path.iterdir()
                if file.suffix in KINDS or Path(file.stem).suffix in KINDS)
        self.notes += [f'{self.path}: {note}' for note in self._metadata.notes]
        if not paths:
            raise BagError(f'{self.path}: no bag in it (no metadata.yaml, .mcap or .db3)')
        bad = []
        for path in paths:
            try:
                yield open_file(path, Path(self._unpacked.name))
            except Exception as error:  # sqlite3, mcap, zstd, struct: whatever the damage meets
                bad.append((path, error))
        if len(bad) == len(paths):
            raise BagError(f'{bad[0][0]}: {_reason(bad[0][1])}') from None
        self.notes += [f'{path}: left out: {_reason(error)}' for path, error in bad]

    def _gather(self) -> None:
        """Find `channels` and `topics`."""
        found: dict[tuple[str, str], Channel] = {}
        for file in self._files:
            for channel in map(self._metadata.applied_to, file.channels.values()):
                known = found.get((channel.topic, channel.type), replace(channel, count=0, qos=()))
                found[channel.topic, channel.type] = replace(
                    known, count=known.count + channel.count,
                    qos=tuple(dict.fromkeys((*known.qos, *channel.qos))),
                    definition=known.definition or channel.definition)
        self.channels = tuple(found.values())
        self.topics: dict[str, Topic] = {}
        self.unclear: dict[str, list[str]] = {}  # topics of several types -> these
        for name in dict.fromkeys(channel.topic for channel in self.channels):
            of_name = [channel for channel in self.channels if channel.topic == name]
            heard = [channel for channel in of_name if channel.count] or of_name[:1]
            count = sum(channel.count for channel in of_name)
            told = self._metadata.counts.get(name, count)
            if told != count:
                self.notes.append(f'{self.path}: metadata.yaml tells of {told} messages on {name}, '
                                  f'there are {count}')
            if len(heard) > 1:
                self.unclear[name] = sorted(channel.type for channel in heard)
            elif heard[0].serialization == 'cdr':
                self.topics[name] = Topic(name, heard[0].type, count)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        for file in self._files:
            file.close()
        self._unpacked.cleanup()

    @property
    def start(self) -> int:
        """Time of the first message, nanoseconds."""
        return min((file.start for file in self._files if file.count), default=0)

    @property
    def duration(self) -> float:
        """Seconds from the first to the last message."""
        end = max((file.end for file in self._files if file.count), default=0)
        return (end - self.start) / 1e9

    def image_topics(self) -> list[str]:
        """Topics of raw or compressed pictures, fullest first."""
        images = [topic for topic in self.topics.values() if topic.type in IMAGE_TYPES]
        return [topic.name for topic in sorted(images, key=lambda t: (-t.count, t.name))]

    def image_topic(self, name: str | None = None) -> Topic:
        """The topic of pictures called `name`, or, with None, the only one there is."""
        pictures = self.image_topics()
        if name in self.unclear:
            kinds = ' and of '.join(self.unclear[name])
            raise BagError(f'{self.path}: {name} has messages of {kinds}: no topic with pictures')
        if name is None:
            if len(pictures) == 1:
                return self.topics[pictures[0]]
            if not pictures:
                has = ', '.join(sorted(self.topics)) or 'nothing'
                raise BagError(f'{self.path}: no topic with pictures in it (it has {has})')
            raise BagError(
                f'{self.path}: which pictures? --image-topic is one of {_list(pictures)}'
            )
        if name not in self.topics:
            raise BagError(
                f'{self.path}: no topic {name}; topics with pictures: {_list(pictures) or "none"}'
            )
        if name not in pictures:
            raise BagError(
                f'{self.path}: {name} is a {self.topics[name].type}; '
                f'topics with pictures: {_list(pictures) or "none"}'
            )
        return self.topics[name]

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time of recording in nanoseconds, CDR bytes), in the order of recording.

        `topics`: some of self.topics; None: all of these.
        """
        wanted = set(self.topics) if topics is None else self.topics.keys() & set(topics)
        for channel, time, data in self.records(wanted):
            yield channel.topic, time, data

    def records(self, topics: Iterable[str] | None = None) -> Iterator[tuple[Channel, int, bytes]]:
        """(one of self.channels, time of recording in nanoseconds, bytes as recorded).

        `topics`: None for everything there is.
        """
        own = {(channel.topic, channel.type): channel for channel in self.channels}
        wanted = {name for name, _ in own} if topics is None else set(topics)
        packed = self._metadata.compression_mode == 'message'
        try:
            for file in self._files if wanted else ():
                for channel, time, data in file.messages(wanted):
                    yield own[channel.topic, channel.type], time, unpack(data) if packed else data
        except GeneratorExit:
            raise
        except Exception as error:  # see _opened
            raise BagError(f'{self.path}: {_reason(error)}') from None

    def first(self, topic: str) -> tuple[int, bytes]:
        """(time of recording in nanoseconds, CDR bytes) of a topic's first message, or BagError."""
        for _, time, data in self.messages([topic]):
            return time, data
        raise BagError(f'{self.path}: no message on {topic}')


def _reason(error: Exception) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        text = 'no such file'
    damaged = re.search(
        r'magic|footer|truncat|malformed|short|length|boundary|not a database|crc|read|decompress',
        text, re.IGNORECASE,
    )
    way_out = ' (cut off or damaged: `ros2 bag reindex` or `mcap recover` may save it)'
    return f'unreadable bag: {text.rstrip(".")}{way_out if damaged else ""}'


def _list(names: Iterable[str]) -> str:
    return ', '.join(names)


# --- writing ----------------------------------------------------------------------------------


class BagWriter:
    """A new rosbag2 directory; its topics appear with their first message.

    `storage` is 'mcap' (compressed by zstd inside the file, which every mcap reader understands)
    or 'sqlite3'. Without an orderly end (an exception) the bag is left without an index.
    """

    def __init__(self, path: str | Path, storage: str = 'mcap', compress: bool = True) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise BagError(f'{self.path}: exists already: remove it or choose another name')
        self._writer = Writer(self.path, version=8, storage_plugin=StoragePlugin[storage.upper()])
        if compress and storage == 'mcap':
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[str, object] = {}
        self._copied: dict[tuple[str, str], object] = {}  # of (topic, type)

    def __enter__(self):
        self._writer.open()
        return self

    def __exit__(self, *raised) -> None:
        self._writer.__exit__(*raised)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics named so far."""
        return tuple(self._connections)

    def add(self, topic: str, msgtype: str, latched: bool = False) -> None:
        """Name a topic and its type; not needed before `write` where `msgtype` is given."""
        if msgtype not in types().types:
            raise BagError(f'{topic}: type {msgtype} is not known')
        self._connections[topic] = self._writer.add_connection(
            topic, msgtype, typestore=types(),
            offered_qos_profiles=[LATCHED_QOS if latched else DEFAULT_QOS],
        )

    def copy(self, channel: Channel, time: int, data: bytes) -> None:
        """Append a message of another bag as it is there, with its definition and QoS."""
        key = (channel.topic, channel.type)
        if key not in self._copied:
            self._copied[key] = self._writer.add_connection(
                channel.topic, channel.type, msgdef=_definition(channel), rihs01=_digest(channel),
                serialization_format=channel.serialization, offered_qos_profiles=channel.qos,
            )
        self._writer.write(self._copied[key], time, data)

    def write(self, topic: str, time: int, data, msgtype: str | None = None) -> None:
        """Append a message (CDR bytes, or a message made by `make`) recorded at `time`, ns."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            msgtype = data.__msgtype__
            data = encode(data)
        if topic not in self._connections:
            if msgtype is None:
                raise BagError(f'{topic}: its type was not given')
            self.add(topic, msgtype)
        self._writer.write(self._connections[topic], time, data)


def _definition(channel: Channel) -> str:
    """The text of the type: the bag's own, or ours, or none."""
    if channel.definition or channel.type not in types().types:
        return channel.definition
    return types().generate_msgdef(channel.type, ros_version=2)[0]


def _digest(channel: Channel) -> str:
    """RIHS01 (REP-2016) of the type: the bag's own, or of its text, or NO_DIGEST."""
    if channel.digest:
        return channel.digest
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(_definition(channel), channel.type))
        return store.hash_rihs01(channel.type)
    except Exception:  # a text in which rosbags' parser finds no message, or not all of it
        return NO_DIGEST


def copied_wrongly(bag: Path, copy: Path) -> str:
    """What is missing in a copy of a bag, or more in it, in a line; '' where nothing is."""
    with BagReader(bag) as old, BagReader(copy) as new:
        there = {(channel.topic, channel.type): channel.count for channel in new.channels}
        for channel in old.channels:
            count = there.get((channel.topic, channel.type), 0)
            if count != channel.count:
                return (f'{bag}: {count} of {channel.count} messages of {channel.topic} '
                        f'({channel.type}) came over into the copy')
    return ''


# --- messages from arrays ---------------------------------------------------------------------


def header(stamp: int, frame_id: str):
    """std_msgs/Header of a stamp in nanoseconds."""
    time = make('builtin_interfaces/msg/Time', sec=stamp // 10**9, nanosec=stamp % 10**9)
    return make('std_msgs/msg/Header', stamp=time, frame_id=frame_id)


def image(head, picture: np.ndarray, encoding: str):
    """sensor_msgs/Image of an array (H, W) or (H, W, C) whose dtype is that of `encoding`."""
    picture = np.ascontiguousarray(picture)
    return make(
        'sensor_msgs/msg/Image', header=head, height=picture.shape[0], width=picture.shape[1],
        encoding=encoding, is_bigendian=0, step=picture.strides[0],
        data=picture.reshape(-1).view(np.uint8),
    )


def camera_info(head, intrinsics: np.ndarray, size: tuple[int, int]):
    """sensor_msgs/CameraInfo of a pinhole without distortion; size (width, height) in pixels."""
    k = np.asarray(intrinsics, np.float64)
    region = make('sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0, height=0, width=0,
                  do_rectify=False)
    return make(
        'sensor_msgs/msg/CameraInfo', header=head, height=size[1], width=size[0],
        distortion_model='plumb_bob', d=np.zeros(5), k=k.reshape(9), r=np.eye(3).reshape(9),
        p=np.hstack([k, np.zeros((3, 1))]).reshape(12), binning_x=0, binning_y=0, roi=region,
    )


def _box(mask_or_points: np.ndarray, size: tuple[int, int]):
    """sensor_msgs/RegionOfInterest round points (N, 2) of x, y, clipped to (width, height)."""
    points = np.asarray(mask_or_points, np.float64)
    if len(points) == 0:
        low = high = np.zeros(2)
    else:
        low = np.clip(np.floor(points.min(0)), 0, size)
        high = np.clip(np.floor(points.max(0)) + 1, low, size)
    return make(
        'sensor_msgs/msg/RegionOfInterest', x_offset=int(low[0]), y_offset=int(low[1]),
        width=int(high[0] - low[0]), height=int(high[1] - low[1]), do_rectify=False,
    )


def _point(x: float, y: float, z: float):
    return make('geometry_msgs/msg/Point', x=float(x), y=float(y), z=float(z))


# --- the camera bag ---------------------------------------------------------------------------

CAMERA_FRAME = 'camera_optical_frame'
CAMERA_START = 1_700_000_000 * 10**9  # stamps of made-up cameras begin here: the same every time
STILL = ('box', 'ball', 'cylinder', 'table')  # what stays where it is while people walk


def sparse_depth(depth: np.ndarray, rng: np.random.Generator, share: float = 0.005) -> np.ndarray:
    """What a cheap range sensor sees: float32 (H, W) metres, NaN where it did not measure.

    `share` of the pixels are measured, with noise of 1 cm + 1 % (one sigma); 3 % of them are
    outliers anywhere between 0.3 and 10 m, as reflections and flying pixels give.
    """
    measured = (rng.random(depth.shape) < share) & np.isfinite(depth)
    true = depth[measured]
    seen = true + rng.normal(size=true.shape) * (0.01 + 0.01 * true)
    outlier = rng.random(true.shape) < 0.03
    seen[outlier] = rng.uniform(0.3, 10.0, int(outlier.sum()))
    sparse = np.full(depth.shape, np.nan, np.float32)
    sparse[measured] = np.maximum(seen, 0.05)
    return sparse


def inner_pixel(mask: np.ndarray) -> tuple[int, int] | None:
    """(x, y) deepest inside a mask (H, W), or None where the mask is empty."""
    if not mask.any():
        return None
    inside = np.pad(mask.astype(np.uint8), 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(x) - 1, int(y) - 1


def thing_to_click(views: Iterable) -> int | None:
    """The instance that is worth a click: of what stays in view, the thing seen largest.

    Things that stand still come first, if they fill 0.3 % of the picture at least: a slow node sees
    one frame a second, in which people walk out of any tracker's reach.
    """
    smallest: dict[int, int] = {}
    frames = 0
    for frames, truth in enumerate(views, 1):
        things = [i for i, name in truth.categories.items() if name in (*STILL, 'person')]
        still = {i for i, name in truth.categories.items() if name in STILL}
        for thing in things if frames == 1 else smallest:
            area = int((truth.instances == thing).sum())
            smallest[thing] = min(area, smallest.get(thing, area))
    seen = {thing: area for thing, area in smallest.items() if area > 0}
    enough = 0.003 * truth.instances.size if frames else 0
    large = {thing: area for thing, area in seen.items() if thing in still and area >= enough}
    return max(large or seen, key=seen.get) if seen else None


def write_camera_bag(
    path: str | Path,
    views: Iterable,
    clicked: int | None = None,
    storage: str = 'mcap',
    reference_encoding: str = '16UC1',
    click_every: int = 30,
    seed: int = 0,
) -> int:
    """Record what a camera sees (`views`: `worlds.camera_move`, Truths with stamps) as a rosbag2.

    /camera/image_raw rgb8, /camera/camera_info, /camera/reference_depth (sparse and noisy, 16UC1
    millimetres or 32FC1 metres), /camera/clicked_pixel (a pixel of the instance `clicked`, in the
    third frame and every `click_every` frames after), and with the same stamps the truth:
    /truth/depth 32FC1 metres, /truth/normals 32FC3, /truth/entities/labels mono16,
    /truth/entities, /truth/poses. Returns the number of frames.
    """
    rng = np.random.default_rng(seed)
    frames = 0
    with BagWriter(path, storage) as bag:
        for frames, truth in enumerate(views, 1):
            stamp = CAMERA_START + round(truth.stamp * 1e9)
            head = header(stamp, CAMERA_FRAME)
            height, width = truth.depth.shape
            sparse = sparse_depth(truth.depth, rng)
            if reference_encoding == '16UC1':
                sparse = np.nan_to_num(sparse * 1000.0).clip(0, 65535).round().astype(np.uint16)
            elif reference_encoding != '32FC1':
                raise BagError(f'reference_encoding is 16UC1 or 32FC1, not {reference_encoding}')

            messages = [
                ('/camera/camera_info', camera_info(head, truth.intrinsics, (width, height))),
                ('/camera/reference_depth', image(head, sparse, reference_encoding)),
            ]
            if clicked is not None and frames >= 3 and (frames - 3) % click_every == 0:
                pixel = inner_pixel(truth.instances == clicked)
                if pixel is not None:
                    messages.append(('/camera/clicked_pixel', _point(*pixel, 0.0)))
            messages += [
                ('/camera/image_raw', image(head, truth.rgb, 'rgb8')),
                ('/truth/depth', image(head, truth.depth, '32FC1')),
                ('/truth/normals', image(head, truth.normals, '32FC3')),
                ('/truth/entities/labels', image(head, truth.instances.astype('u2'), 'mono16')),
                ('/truth/entities', _entities(head, truth)),
                ('/truth/poses', _poses(head, truth)),
            ]
            # A driver sends the parts of a frame one after the other; the picture comes last of
            # what the node needs for it.
            for place, (topic, message) in enumerate(messages):
                bag.write(topic, stamp + place * 200_000, message)
    return frames


def _entities(head, truth):
    """diception_ros/EntityArray of every instance in the picture, largest first."""
    height, width = truth.instances.shape
    entities = []
    for label in np.unique(truth.instances[truth.instances > 0]):
        ys, xs = np.nonzero(truth.instances == label)
        color = make('std_msgs/msg/ColorRGBA', r=0.0, g=0.0, b=0.0, a=1.0)
        entities.append(make(
            'diception_ros/msg/Entity', label=int(label),
            category=truth.categories.get(int(label), ''), score=1.0, area=len(xs), color=color,
            bounding_box=_box(np.stack([xs, ys], 1), (width, height)),
            centroid=_point(xs.mean(), ys.mean(), 0.0),
        ))
    entities.sort(key=lambda entity: -entity.area)
    return make('diception_ros/msg/EntityArray', header=head, entities=entities)


def _poses(head, truth):
    """diception_ros/PoseKeypointsArray of everybody; joints out of the picture are NaN."""
    height, width = truth.depth.shape
    people = []
    for person in truth.people:
        inside = person.keypoints[:, 2] > 0
        joints = []
        for (x, y, state), (px, py, pz) in zip(person.keypoints, person.keypoints_3d, strict=True):
            known = state > 0
            joints.append(make(
                'diception_ros/msg/Keypoint', x=float(x) if known else np.nan,
                y=float(y) if known else np.nan, score=float(known), visible=bool(state == 2),
                position=_point(px, py, pz),
            ))
        people.append(make(
            'diception_ros/msg/PoseKeypoints', keypoints=joints, types_known=True,
            left_right_ambiguous=False, score=1.0, label=int(person.label),
            bounding_box=_box(person.keypoints[inside, :2], (width, height)),
        ))
    return make('diception_ros/msg/PoseKeypointsArray', header=head, people=people)
