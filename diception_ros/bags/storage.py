# SPDX-License-Identifier: Apache-2.0
"""The files of a rosbag2: what is in one .mcap or .db3, and what metadata.yaml says about them.

The files themselves are believed: what they hold, how many messages, of which definition.
metadata.yaml tells which files there are and in which order, how they are compressed, and the
quality of service to offer, which people edit by hand. It may lack anything, or be of a version
that we do not know.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import BinaryIO
from urllib.parse import quote

import yaml
import zstandard
from mcap.reader import NonSeekingReader, SeekingReader
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

MCAP_MAGIC = b'\x89MCAP0\r\n'
FOREVER = QosTime(9223372036, 854775807)  # rmw's RMW_DURATION_INFINITE
# What a publisher offers that says nothing else (rmw_qos_profile_default).
DEFAULT_QOS = Qos(
    QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, QosDurability.VOLATILE, FOREVER, FOREVER,
    QosLiveliness.AUTOMATIC, FOREVER, False,
)
LATCHED_QOS = DEFAULT_QOS._replace(durability=QosDurability.TRANSIENT_LOCAL)


class StorageError(ValueError):
    """A file that is not what it should be. One line."""


@dataclass(frozen=True)
class Channel:
    """The messages of one type on one topic, as a file has them."""

    topic: str
    type: str  # 'sensor_msgs/msg/Image'
    count: int
    qos: tuple[Qos, ...] = ()     # as its publishers offered it
    definition: str = ''          # of the type and all types in it; '' where the bag has none
    digest: str = ''              # RIHS01_... of the definition; '' where the bag has none
    serialization: str = 'cdr'


def full_type(name: str) -> str:
    """'sensor_msgs/Image' -> 'sensor_msgs/msg/Image', as other writers than rosbag2 leave it."""
    return '/msg/'.join(name.split('/')) if name.count('/') == 1 else name


# --- quality of service -----------------------------------------------------------------------

_POLICIES = {
    'history': QosHistory, 'reliability': QosReliability, 'durability': QosDurability,
    'liveliness': QosLiveliness,
}


def parse_qos(profiles: object) -> tuple[Qos, ...]:
    """Qualities of service as rosbag2 and people write them; raises StorageError.

    A list of mappings, or YAML of it as text (until rosbag2's version 8), or one mapping. Policies
    are numbers of rmw's enumerations or names in any spelling: 1, '1', transient_local,
    TRANSIENT_LOCAL, RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL. What is missing is the default.
    """
    if isinstance(profiles, str):
        try:
            profiles = yaml.safe_load(profiles)
        except yaml.YAMLError:
            raise StorageError('it is no YAML') from None
    if isinstance(profiles, dict):
        profiles = [profiles]
    if not isinstance(profiles or [], list):
        raise StorageError('it is no list of profiles')
    return tuple(_profile(one) for one in profiles or [])


def _profile(given: object) -> Qos:
    if not isinstance(given, dict):
        raise StorageError(f'{given!r} is no profile')
    fields = {}
    for name in Qos._fields:
        if (value := given.get(name)) is None:
            continue
        try:
            if name in _POLICIES:
                fields[name] = _policy(_POLICIES[name], name, value)
            elif name == 'depth':
                fields[name] = int(value)
            elif name == 'avoid_ros_namespace_conventions':
                fields[name] = str(value).lower() in ('true', '1', 'yes')
            else:
                fields[name] = _duration(value)
        except (ValueError, TypeError, KeyError):
            raise StorageError(f'{name} is {value!r}') from None
    return DEFAULT_QOS._replace(**fields)


def _policy(kind: type, name: str, value: object):
    if isinstance(value, int) and not isinstance(value, bool):
        return kind(value)
    text = str(value).strip()
    if text.isdecimal():
        return kind(int(text))
    bare = re.sub(r'[^A-Z]', '', re.sub(
        rf'^(RMW_?)?(QOS_?)?(POLICY_?)?({name.upper()}_?)?(POLICY)?[._]*', '', text.upper()))
    return {member.name.replace('_', ''): member for member in kind}[bare]


def _duration(value: object) -> QosTime:
    if isinstance(value, dict):
        parts = [next((value[key] for key in keys if value.get(key) is not None), 0)
                 for keys in (('sec', 'seconds'), ('nsec', 'nanosec', 'nanoseconds'))]
        return QosTime(int(parts[0]), int(parts[1]))
    if str(value).strip().lower().lstrip('.') in ('inf', 'infinite', 'infinity'):
        return FOREVER
    nanoseconds = round(float(value) * 1e9)
    return QosTime(*divmod(nanoseconds, 10**9))


# --- files ------------------------------------------------------------------------------------


class McapFile:
    """One .mcap file. Raises StorageError, or mcap's errors, where it is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open('rb') as stream:
            self._read_summary(stream)

    def _read_summary(self, stream: BinaryIO) -> None:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - len(MCAP_MAGIC)))
        if stream.read() != MCAP_MAGIC or size < 2 * len(MCAP_MAGIC):
            raise StorageError('the file is cut off: its end magic is missing' if size
                               else 'the file is empty: cut off before anything was written')
        stream.seek(0)
        summary = SeekingReader(stream, validate_crcs=True).get_summary()
        statistics = summary and summary.statistics
        self._indexed = bool(statistics and summary.channels and summary.chunk_indexes)
        counts: Counter[int]
        if self._indexed:
            counts = Counter(statistics.channel_message_counts)
            self.count = statistics.message_count
            self.start, self.end = statistics.message_start_time, statistics.message_end_time
            channels, schemas = summary.channels, summary.schemas
        else:  # a writer that left no index: look at everything once
            counts, channels, schemas = Counter(), {}, {}
            self.start, self.end = 2**63, 0
            stream.seek(0)
            for schema, channel, message in NonSeekingReader(
                    stream, validate_crcs=True).iter_messages(log_time_order=False):
                channels[channel.id] = channel
                if schema is not None:
                    schemas[schema.id] = schema
                counts[channel.id] += 1
                self.start = min(self.start, message.log_time)
                self.end = max(self.end, message.log_time)
            self.count = sum(counts.values())
        self.channels: dict[int, Channel] = {}
        for number, channel in channels.items():
            schema = schemas.get(channel.schema_id)
            text = schema.data.decode(errors='replace') if schema is not None else ''
            known = schema is not None and schema.encoding in ('ros2msg', 'ros2idl')
            try:
                qos = parse_qos(channel.metadata.get('offered_qos_profiles', ''))
            except StorageError:
                qos = ()
            self.channels[number] = Channel(
                channel.topic, full_type(schema.name if schema is not None else ''),
                counts[number], qos, text if known else '',
                channel.metadata.get('topic_type_hash', ''), channel.message_encoding,
            )

    def messages(self, topics: Iterable[str]) -> Iterator[tuple[Channel, int, bytes]]:
        """(channel, time of recording in ns, bytes), ascending where the file has an index."""
        with self._path.open('rb') as stream:
            # Without an index, sorting would take as much memory as the file is long.
            reader = (SeekingReader if self._indexed else NonSeekingReader)(
                stream, validate_crcs=True)
            for _, channel, message in reader.iter_messages(
                    topics=set(topics), log_time_order=self._indexed):
                yield self.channels[channel.id], message.log_time, message.data

    def close(self) -> None:
        """Nothing is open but while messages are read."""


class Sqlite3File:
    """One .db3 file. Raises sqlite3.Error where it is damaged."""

    def __init__(self, path: Path) -> None:
        # immutable: nothing is written beside it either.
        self._database = sqlite3.connect(f'file:{quote(str(path))}?mode=ro&immutable=1', uri=True,
                                         check_same_thread=False)
        try:
            self._read_tables()
        except BaseException:
            self._database.close()
            raise

    def _read_tables(self) -> None:
        tables = {name for name, in self._database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {'messages', 'topics'} <= tables:
            raise StorageError('the database has no tables of rosbag2: cut off or damaged')
        definitions = {}
        if 'message_definitions' in tables:
            definitions = {kind: (text, digest) for kind, encoding, text, digest in self._rows(
                'message_definitions', 'topic_type', 'encoding', 'encoded_message_definition',
                'type_description_hash') if encoding in ('ros2msg', 'ros2idl')}
        counts = dict(self._database.execute(
            'SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id'))
        self.count = sum(counts.values())
        start, end = self._database.execute(
            'SELECT MIN(timestamp), MAX(timestamp) FROM messages').fetchone()
        self.start, self.end = start or 0, end or 0
        self.channels: dict[int, Channel] = {}
        for number, topic, kind, form, profiles, digest in self._rows(
                'topics', 'id', 'name', 'type', 'serialization_format', 'offered_qos_profiles',
                'type_description_hash'):
            try:
                qos = parse_qos(profiles)
            except StorageError:
                qos = ()
            text, of_text = definitions.get(kind, ('', ''))
            self.channels[number] = Channel(topic, full_type(kind), counts.get(number, 0), qos,
                                            text or '', digest or of_text or '', form or 'cdr')

    def _rows(self, table: str, *columns: str) -> Iterator[tuple]:
        """Rows of a table; None for columns that older versions did not have."""
        there = {row[1] for row in self._database.execute(f'PRAGMA table_info({table})')}
        names = (name if name in there else 'NULL' for name in columns)
        yield from self._database.execute(f'SELECT {", ".join(names)} FROM {table}')

    def messages(self, topics: Iterable[str]) -> Iterator[tuple[Channel, int, bytes]]:
        """(channel, time of recording in ns, bytes), ascending."""
        topics = set(topics)
        wanted = [number for number, one in self.channels.items() if one.topic in topics]
        marks = ', '.join('?' * len(wanted))
        for number, time, data in self._database.execute(
                f'SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) '
                'ORDER BY timestamp, id', wanted):
            yield self.channels[number], time, data

    def close(self) -> None:
        """Close the file."""
        self._database.close()


KINDS = {'.mcap': McapFile, '.db3': Sqlite3File}


def open_file(path: Path, unpacked: Path):
    """An McapFile or Sqlite3File, or StorageError; what is compressed as a whole is unpacked there.
    """
    if path.suffix == '.zstd':
        inner = unpacked / path.stem
        with path.open('rb') as packed, inner.open('wb') as plain:
            zstandard.ZstdDecompressor().copy_stream(packed, plain)
        path = inner
    if path.suffix not in KINDS:
        raise StorageError(f'it is no {" or ".join(KINDS)}')
    return KINDS[path.suffix](path)


def unpack(message: bytes) -> bytes:
    """A message of a bag of compression mode 'message'."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(message)


# --- metadata.yaml ----------------------------------------------------------------------------


@dataclass
class Metadata:
    """What metadata.yaml tells, as far as it does."""

    files: list[str] = field(default_factory=list)
    compression_mode: str = ''  # '', 'file' or 'message'
    qos: dict[str, tuple[Qos, ...]] = field(default_factory=dict)  # topic -> as it says
    digests: dict[tuple[str, str], str] = field(default_factory=dict)  # (topic, type) -> RIHS01
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what could not be made out, a line each

    @classmethod
    def of(cls, file: Path) -> Metadata:
        """What `file` tells; nothing where it is not there or is something else."""
        if not file.exists():
            return cls(notes=[f'{file.name} is missing'])
        try:
            told = yaml.safe_load(file.read_text(encoding='utf-8'))
            told = told['rosbag2_bagfile_information']
            told = {name: value for name, value in told.items() if value is not None}
        except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError):
            return cls(notes=[f'{file.name} is not readable'])
        found = cls(compression_mode=str(told.get('compression_mode', '')).lower())
        if found.compression_mode in ('none', 'storage'):
            found.compression_mode = ''
        paths = told.get('relative_file_paths', [])
        found.files = [PurePath(str(path)).name for path in _listed(paths)]
        for one in _listed(told.get('topics_with_message_count', [])):
            found._add_topic(one if isinstance(one, dict) else {}, file.name)
        return found

    def _add_topic(self, told: dict, where: str) -> None:
        topic = told.get('topic_metadata')
        if not isinstance(topic, dict) or not isinstance(topic.get('name'), str):
            return
        name = topic['name']
        if isinstance(told.get('message_count'), int):
            self.counts[name] = self.counts.get(name, 0) + told['message_count']
        if isinstance(topic.get('type_description_hash'), str):
            kind = full_type(str(topic.get('type')))
            self.digests[name, kind] = topic['type_description_hash']
        try:
            qos = parse_qos(topic.get('offered_qos_profiles'))
        except StorageError as error:
            self.notes.append(f'{where}: offered_qos_profiles of {name}: {error}: '
                              'what was recorded is taken')
        else:
            if qos:
                self.qos[name] = (*self.qos.get(name, ()), *qos)

    def applied_to(self, channel: Channel) -> Channel:
        """The channel with what was edited, and with what its file does not know."""
        return replace(
            channel, qos=self.qos.get(channel.topic, channel.qos),
            digest=channel.digest or self.digests.get((channel.topic, channel.type), ''))


def _listed(value: object) -> list:
    return value if isinstance(value, list) else []
