# SPDX-License-Identifier: Apache-2.0
"""Bags as people have them: edited by hand, of other writers, of older and newer versions."""

import io
import sqlite3

import pytest
import yaml
import zstandard
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.interfaces import QosDurability, QosHistory, QosReliability
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.storage import DEFAULT_QOS, LATCHED_QOS, StorageError, parse_qos

ODD = 'my_robot_msgs/msg/Gripper'  # a type that nobody has here
ODD_TEXT = ('std_msgs/Header header\nmy_robot_msgs/Force force\n' + 80 * '=' +
            '\nMSG: my_robot_msgs/Force\nfloat32 newton\n')
POINT = bags.encode(bags.make('geometry_msgs/msg/Point', x=1.0, y=2.0, z=3.0))
TEXT = bags.encode(bags.make('std_msgs/msg/String', data='<robot/>'))
BEST_EFFORT = DEFAULT_QOS._replace(reliability=QosReliability.BEST_EFFORT, depth=5)


def write_bag(path, storage='mcap', compression=None):
    """A bag with a latched topic, one of an unknown type and one of two types; all on it."""
    records = []
    with Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()]) as bag:
        def add(topic, kind, qos, **text):
            return bag.add_connection(topic, kind, typestore=bags.types(),
                                      offered_qos_profiles=[qos], **text)

        topics = [
            (add('/robot_description', 'std_msgs/msg/String', LATCHED_QOS), [TEXT]),
            (add('/click', 'geometry_msgs/msg/Point', BEST_EFFORT), [POINT] * 3),
            (add('/gripper', ODD, DEFAULT_QOS, msgdef=ODD_TEXT, rihs01='RIHS01_' + 64 * 'a'),
             [b'\0\1\0\0odd', b'\0\1\0\0odder']),
            (add('/both', 'geometry_msgs/msg/Point', DEFAULT_QOS), [POINT]),
            (add('/both', 'std_msgs/msg/String', DEFAULT_QOS), [TEXT, TEXT]),
        ]
        for connection, messages in topics:
            for data in messages:
                time = 10**18 + len(records)
                bag.write(connection, time, data)
                records.append((connection.topic, connection.msgtype, time, data))
    return records


def records_of(path):
    with bags.BagReader(path) as bag:
        return [(channel.topic, channel.type, time, data) for channel, time, data in bag.records()]


def copied(path, copy):
    with bags.BagReader(path) as bag, bags.BagWriter(copy) as writer:
        for channel, time, data in bag.records():
            writer.copy(channel, time, data)
    return copy


def edit(path, change):
    """Let `change` edit the content of a bag's metadata.yaml."""
    file = path / 'metadata.yaml'
    content = yaml.safe_load(file.read_text())
    change(content['rosbag2_bagfile_information'])
    file.write_text(yaml.safe_dump(content))


def topic_of(content, name):
    return next(topic for topic in content['topics_with_message_count']
                if topic['topic_metadata']['name'] == name)


# --- a copy is a copy -------------------------------------------------------------------------


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_copy_has_the_bytes_definitions_and_qos_of_every_topic(tmp_path, storage):
    records = write_bag(tmp_path / 'bag', storage)
    copied(tmp_path / 'bag', tmp_path / 'copy')
    assert records_of(tmp_path / 'copy') == records
    assert bags.copied_wrongly(tmp_path / 'bag', tmp_path / 'copy') == ''
    for name in ('bag', 'copy'):
        with bags.BagReader(tmp_path / name) as bag:
            channels = {(channel.topic, channel.type): channel for channel in bag.channels}
        assert channels['/robot_description', 'std_msgs/msg/String'].qos == (LATCHED_QOS,)
        assert channels['/click', 'geometry_msgs/msg/Point'].qos == (BEST_EFFORT,)
        assert channels['/gripper', ODD].definition == ODD_TEXT
        assert channels['/gripper', ODD].digest == 'RIHS01_' + 64 * 'a'
        assert channels['/both', 'std_msgs/msg/String'].count == 2


def test_a_type_of_which_the_bag_has_no_text_either_is_copied_byte_for_byte(tmp_path):
    """As rosbag2 records where the package of a message is not installed."""
    path = tmp_path / 'odd.mcap'
    write_mcap(path, [('/gripper', ODD, 'unknown', b'')])
    copied(path, tmp_path / 'copy')
    assert records_of(tmp_path / 'copy') == records_of(path) != []


def test_a_copy_that_lacks_a_message_is_told_with_its_topic(tmp_path):
    write_bag(tmp_path / 'bag')
    with bags.BagReader(tmp_path / 'bag') as bag, bags.BagWriter(tmp_path / 'copy') as writer:
        for channel, time, data in list(bag.records())[:-1]:
            writer.copy(channel, time, data)
    assert '1 of 2 messages of /both (std_msgs/msg/String)' in bags.copied_wrongly(
        tmp_path / 'bag', tmp_path / 'copy')


# --- edited by hand ---------------------------------------------------------------------------

SPELLINGS = [
    1, '1', 'transient_local', 'TRANSIENT_LOCAL', 'Transient Local', 'TransientLocal',
    'RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL', 'DurabilityPolicy.TRANSIENT_LOCAL',
    'QoSDurabilityPolicy.TRANSIENT_LOCAL',
]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('spelling', SPELLINGS)
def test_a_topic_that_was_made_latched_by_hand_is_read_and_copied_latched(
        tmp_path, storage, spelling):
    records = write_bag(tmp_path / 'bag', storage)

    def change(content):
        topic = topic_of(content, '/click')['topic_metadata']
        topic['offered_qos_profiles'] = yaml.safe_dump([{'durability': spelling, 'depth': 3}])

    edit(tmp_path / 'bag', change)
    assert records_of(tmp_path / 'bag') == records
    copied(tmp_path / 'bag', tmp_path / 'copy')
    with bags.BagReader(tmp_path / 'copy') as bag:
        [click] = [channel for channel in bag.channels if channel.topic == '/click']
    assert click.qos == (LATCHED_QOS._replace(depth=3),)


def test_qos_is_understood_as_text_as_list_and_as_a_single_profile():
    one = {'history': 'keep_all', 'reliability': 2, 'lifespan': {'sec': 1, 'nsec': 5},
           'deadline': 'infinite', 'liveliness_lease_duration': 0.5}
    expected = parse_qos([one])
    assert parse_qos(one) == parse_qos(yaml.safe_dump([one])) == expected
    assert expected[0].history == QosHistory.KEEP_ALL and expected[0].lifespan == (1, 5)
    assert expected[0].deadline == DEFAULT_QOS.deadline
    assert expected[0].liveliness_lease_duration == (0, 500_000_000)
    assert parse_qos(None) == parse_qos('') == parse_qos([]) == ()
    for wrong in ([{'durability': 'eternal'}], [{'durability': 9}], 'a: [', ['latched'], 7):
        with pytest.raises(StorageError):
            parse_qos(wrong)


def test_qos_that_nobody_understands_is_said_and_the_recorded_one_kept(tmp_path):
    records = write_bag(tmp_path / 'bag')

    def change(content):
        topic = topic_of(content, '/robot_description')['topic_metadata']
        topic['offered_qos_profiles'] = '- durability: for ever'

    edit(tmp_path / 'bag', change)
    with bags.BagReader(tmp_path / 'bag') as bag:
        assert [note for note in bag.notes if '/robot_description' in note and 'for ever' in note]
        [latched] = [one for one in bag.channels if one.topic == '/robot_description']
    assert latched.qos[0].durability == QosDurability.TRANSIENT_LOCAL
    assert records_of(tmp_path / 'bag') == records


# --- of other writers -------------------------------------------------------------------------


def without(*names):
    def change(content):
        for topic in content['topics_with_message_count']:
            for name in names:
                topic.pop(name, None)
                topic['topic_metadata'].pop(name, None)
        for name in names:
            content.pop(name, None)
    return change


@pytest.mark.parametrize('change', [
    without('message_count'),
    without('message_count', 'duration', 'starting_time', 'files', 'custom_data'),
    without('offered_qos_profiles', 'serialization_format', 'type_description_hash'),
    without('topics_with_message_count', 'storage_identifier', 'version'),
    lambda content: content.update(version=12, compression_mode=None, compression_format=None),
    lambda content: content.update(version='9', compression_mode='NONE', relative_file_paths=None),
    lambda content: content.update(topics_with_message_count=None, storage_identifier='other'),
], ids=range(7))
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_metadata_that_lacks_or_adds_something_does_not_hinder_reading(tmp_path, storage, change):
    records = write_bag(tmp_path / 'bag', storage)
    edit(tmp_path / 'bag', change)
    assert records_of(tmp_path / 'bag') == records
    with bags.BagReader(tmp_path / 'bag') as bag:
        assert bag.notes == [] and bag.topics['/click'].count == 3


@pytest.mark.parametrize('content', [None, '', 'a: [', 'rosbag2_bagfile_information: 3', '- 1'])
def test_metadata_that_is_none_is_said_and_the_files_are_read(tmp_path, content):
    records = write_bag(tmp_path / 'bag')
    file = tmp_path / 'bag/metadata.yaml'
    file.unlink() if content is None else file.write_text(content)
    assert records_of(tmp_path / 'bag') == records
    with bags.BagReader(tmp_path / 'bag') as bag:
        [note] = bag.notes
    assert 'metadata.yaml is' in note and '\n' not in note


def test_counts_of_the_metadata_that_are_wrong_are_said(tmp_path):
    write_bag(tmp_path / 'bag')
    edit(tmp_path / 'bag', lambda content: topic_of(content, '/click').update(message_count=5))
    with bags.BagReader(tmp_path / 'bag') as bag:
        assert bag.notes == [f'{tmp_path}/bag: metadata.yaml tells of 5 messages on /click, '
                             'there are 3']


def test_a_topic_of_two_types_hinders_nobody_else(tmp_path):
    write_bag(tmp_path / 'bag')
    with bags.BagReader(tmp_path / 'bag') as bag:
        assert '/both' not in bag.topics and bag.topics['/click'].count == 3
        assert len(list(bag.messages())) == 6
        with pytest.raises(bags.BagError, match='geometry_msgs/msg/Point and of std_msgs'):
            bag.image_topic('/both')


def test_a_type_without_messages_does_not_make_a_topic_unclear(tmp_path):
    with Writer(tmp_path / 'bag', version=8) as bag:
        bag.add_connection('/p', 'std_msgs/msg/String', typestore=bags.types())
        point = bag.add_connection('/p', 'geometry_msgs/msg/Point', typestore=bags.types())
        bag.write(point, 5, POINT)
    with bags.BagReader(tmp_path / 'bag') as bag:
        assert bag.topics == {'/p': bags.Topic('/p', 'geometry_msgs/msg/Point', 1)}


def write_mcap(path, topics, profile='ros2', **options):
    """An .mcap of one message a topic, by another writer; topics: (name, type, encoding, text)."""
    with path.open('wb') as stream:
        writer = McapWriter(stream, **options)
        writer.start(profile)
        for time, (name, kind, encoding, text) in enumerate(topics):
            schema = writer.register_schema(kind, encoding, text)
            channel = writer.register_channel(
                name, 'json' if encoding == 'jsonschema' else 'cdr', schema)
            writer.add_message(channel, 10**18 + time, POINT, 10**18 + time)
        writer.finish()


@pytest.mark.parametrize('options', [
    {}, {'compression': CompressionType.LZ4}, {'compression': CompressionType.NONE},
    {'use_chunking': False}, {'index_types': IndexType.NONE, 'use_statistics': False},
    {'repeat_channels': False, 'repeat_schemas': False, 'use_summary_offsets': False},
], ids=range(6))
def test_mcap_of_any_writer_is_read_with_whatever_else_is_in_it(tmp_path, options):
    """Short names of types, another profile, types of other systems, no index."""
    topics = [('/p', 'geometry_msgs/Point', 'ros2msg', b'float64 x\nfloat64 y\nfloat64 z'),
              ('/log', 'foxglove.Log', 'jsonschema', b'{}'), ('/x', ODD, 'unknown', b'')]
    write_mcap(tmp_path / 'a.mcap', topics, profile='', **options)
    with bags.BagReader(tmp_path / 'a.mcap') as bag:
        assert bag.topics['/p'] == bags.Topic('/p', 'geometry_msgs/msg/Point', 1)
        assert '/log' not in bag.topics and bag.notes == []
        assert list(bag.messages(['/p'])) == [('/p', 10**18, POINT)]
        assert bag.duration == pytest.approx(2e-9)


def test_the_first_databases_of_rosbag2_are_read(tmp_path):
    """Foxy's: no definitions, no quality of service, no hashes."""
    with sqlite3.connect(tmp_path / 'old.db3') as database:
        database.executescript(
            'CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, '
            'serialization_format TEXT NOT NULL); CREATE TABLE messages(id INTEGER PRIMARY KEY, '
            'topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, data BLOB NOT NULL);')
        database.execute("INSERT INTO topics VALUES(1, '/p', 'geometry_msgs/msg/Point', 'cdr')")
        database.execute('INSERT INTO messages VALUES(1, 1, 7, ?)', (POINT,))
    assert records_of(tmp_path / 'old.db3') == [('/p', 'geometry_msgs/msg/Point', 7, POINT)]
    copied(tmp_path / 'old.db3', tmp_path / 'copy')
    with bags.BagReader(tmp_path / 'copy') as bag:
        assert 'float64 x' in bag.channels[0].definition and bag.channels[0].digest


@pytest.mark.parametrize('mode', [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_compressed_bags_are_read(tmp_path, mode):
    writer = Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.SQLITE3)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer as bag:
        point = bag.add_connection('/p', 'geometry_msgs/msg/Point', typestore=bags.types())
        bag.write(point, 5, POINT)
    assert records_of(tmp_path / 'bag') == [('/p', 'geometry_msgs/msg/Point', 5, POINT)]


# --- in several files -------------------------------------------------------------------------


@pytest.fixture
def split(tmp_path):
    """A bag of three files, in an order that sorting by name does not give."""
    path = tmp_path / 'bag'
    path.mkdir()
    for number, name in enumerate(['bag_9', 'bag_10', 'bag_11']):
        with bags.BagWriter(tmp_path / name) as bag:
            bag.write('/p', 5 + number, POINT, 'geometry_msgs/msg/Point')
        (tmp_path / name / f'{name}.mcap').rename(path / f'{name}.mcap')
    return path


def write_index(path, *names):
    (path / 'metadata.yaml').write_text(yaml.safe_dump({'rosbag2_bagfile_information': {
        'version': 8, 'relative_file_paths': list(names)}}))


def test_several_files_are_read_in_the_order_of_time(split):
    assert [time for _, _, time, _ in records_of(split)] == [5, 6, 7]
    write_index(split, 'recorded/bag_11.mcap', 'bag_9.mcap', 'bag_10.mcap')
    assert [time for _, _, time, _ in records_of(split)] == [5, 6, 7]


def test_a_file_that_is_gone_or_cut_off_is_said_and_the_others_are_read(split):
    write_index(split, 'bag_8.mcap', 'bag_9.mcap', 'bag_10.mcap', 'bag_11.mcap')
    last = split / 'bag_11.mcap'
    last.write_bytes(last.read_bytes()[:-20])
    with bags.BagReader(split) as bag:
        assert [time for _, time, _ in bag.messages()] == [5, 6]
        gone, cut = bag.notes
    assert 'bag_8.mcap: left out' in gone and 'no such file' in gone
    assert 'bag_11.mcap: left out' in cut and 'ros2 bag reindex' in cut


def test_a_chunk_that_is_damaged_is_never_taken_for_the_end(split):
    """A copy must not become shorter in silence."""
    file = split / 'bag_10.mcap'
    data = bytearray(file.read_bytes())
    begin = data.index(zstandard.FRAME_HEADER)
    data[begin + 20] ^= 255
    file.write_bytes(data)
    with bags.BagReader(split) as bag, pytest.raises(bags.BagError, match='unreadable bag'):
        list(bag.messages())


def test_reading_a_bag_leaves_nothing_beside_it(split, tmp_path):
    packed = io.BytesIO()
    zstandard.ZstdCompressor().copy_stream((split / 'bag_9.mcap').open('rb'), packed)
    (split / 'bag_9.mcap').unlink()
    (split / 'bag_9.mcap.zstd').write_bytes(packed.getvalue())
    before = sorted(split.iterdir())
    assert [time for _, _, time, _ in records_of(split)] == [5, 6, 7]
    assert sorted(split.iterdir()) == before
