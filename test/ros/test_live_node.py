# SPDX-License-Identifier: Apache-2.0
"""The node on a real graph: every kind of image in, every output checked."""

import cv2
import numpy as np
import pytest
from robot import OUTPUTS
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from diception_ros.geometry import CameraModel, point_cloud
from diception_ros.msg import LabelInfo, PoseKeypoints
from diception_ros.ros import images
from diception_ros.ros.clouds import from_cloud
from diception_ros.ros.images import from_array

ENCODINGS_OUT = {
    'depth/relative': '32FC1', 'depth/color': 'rgb8', 'depth/image_raw': '32FC1',
    'normals/image_raw': '32FC3', 'normals/color': 'rgb8', 'entities/labels': 'mono16',
    'entities/color': 'rgb8', 'segmentation/mask': 'mono8', 'segmentation/color': 'rgb8',
    'semantic/labels': 'mono8', 'semantic/color': 'rgb8', 'poses/color': 'rgb8',
    'overlay': 'rgb8'}


def picture(width=64, height=48, seed=0):
    """Return a blotchy colour picture."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def camera_info(width, height, focal=50.0):
    info = CameraInfo(width=width, height=height, distortion_model='plumb_bob', d=[0.0] * 5)
    info.k = [focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1]
    info.p = [focal, 0, width / 2, 0, 0, focal, height / 2, 0, 0, 0, 1, 0]
    info.header.frame_id = 'camera_optical'
    return info


def array_of(message):
    dtype, channels = {'32FC1': (np.float32, 1), '32FC3': (np.float32, 3), 'rgb8': (np.uint8, 3),
                       'mono8': (np.uint8, 1), 'mono16': (np.uint16, 1)}[message.encoding]
    array = np.frombuffer(message.data, dtype)
    assert message.step == message.width * channels * dtype().itemsize
    return array.reshape((message.height, message.width) + ((channels,) if channels > 1 else ()))


@pytest.mark.parametrize('encoding', sorted(images.ENCODINGS))
def test_an_image_of_any_encoding_is_answered_with_its_header_and_size(robot, encoding):
    robot.listen('depth/relative')
    channels = {'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4, '8UC3': 3, '8UC4': 4, '16UC3': 3,
                '16UC4': 4}.get(encoding.removesuffix('8').removesuffix('16'), 1)
    channels = {'8UC3': 3, '8UC4': 4, '16UC3': 3, '16UC4': 4}.get(encoding, channels)
    yuv = 'yuv' in encoding or encoding in ('uyvy', 'yuyv')
    rows = {'nv12': 72, 'nv21': 72, 'nv24': 144}.get(encoding, 48)
    step = 64 * channels * (2 if '16' in encoding or yuv else 1) + 6
    message = Image(header=robot.header(), width=64, height=48, encoding=encoding, step=step)
    message.data.frombytes(np.random.default_rng(0).bytes(step * rows))
    depth = robot.ask(message)['depth/relative']
    assert (depth.width, depth.height, depth.encoding) == (64, 48, '32FC1')
    assert depth.header == message.header


def test_entities_keep_their_numbers_from_frame_to_frame(robot):
    robot.listen('entities/labels')
    seen = []
    for _ in range(2):
        message = from_array(picture(), 'rgb8', robot.header())
        seen.append(array_of(robot.ask(message)['entities/labels']))
    assert seen[0].any()
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize('size', [(160, 120), (640, 480), (123, 457), (1920, 1080), (1, 1)])
def test_every_output_has_the_size_encoding_and_header_of_its_contract(robot, size):
    width, height = size
    topics = [topic for topic in OUTPUTS if topic != 'restored']
    assert robot.set(depth__scale='near_far', lazy=True) == ''
    robot.listen(*topics)
    info = camera_info(width, height)
    message = from_array(picture(width, height), 'rgb8', robot.header())
    answers = robot.ask(message, before=lambda: robot.tell(info))
    for topic, answer in answers.items():
        assert answer.header == message.header, topic
        if topic in ENCODINGS_OUT:
            assert answer.encoding == ENCODINGS_OUT[topic], topic
            assert (answer.width, answer.height) == size, topic
            assert answer.is_bigendian == 0, topic
            array_of(answer)
    depth = array_of(answers['depth/relative'])
    assert depth.min() >= 0 and depth.max() <= 1
    metres = array_of(answers['depth/image_raw'])
    assert 0.29 < np.nanmin(metres) and np.nanmax(metres) < 10.1
    lengths = np.linalg.norm(array_of(answers['normals/image_raw']), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-3)
    labels = array_of(answers['entities/labels'])
    listed = {entity.label: entity for entity in answers['entities'].entities}
    assert set(np.unique(labels)) - {0} == set(listed)
    for label, entity in listed.items():
        assert entity.area == np.count_nonzero(labels == label)
    assert set(np.unique(array_of(answers['semantic/labels']))) <= {0, 1}
    assert answers['depth/camera_info'].k.tolist() == info.k.tolist()
    cloud = answers['points']
    assert [field.name for field in cloud.fields] == [
        'x', 'y', 'z', 'rgb', 'normal_x', 'normal_y', 'normal_z']
    assert len(cloud.data) == cloud.row_step * cloud.height
    for person in answers['poses'].people:
        assert len(person.keypoints) == PoseKeypoints.NUM_KEYPOINTS


def test_the_restored_picture_comes_when_a_restoration_is_among_the_tasks(robot):
    assert robot.set(tasks=['restoration:denoise']) == ''
    robot.listen('restored')
    restored = robot.ask(from_array(picture(), 'rgb8', robot.header()))['restored']
    assert (restored.width, restored.height, restored.encoding) == (64, 48, 'rgb8')


@pytest.mark.parametrize('kind', ['reference_depth', 'reference_points'])
def test_metres_come_from_a_depth_picture_or_a_lidar_and_keep_its_own_pixels(robot, kind):
    """2 m all over, in a band of the picture; where the model has no better idea, NaN."""
    robot.listen('depth/image_raw', 'depth/camera_info')
    info = camera_info(64, 48)
    image = from_array(picture(), 'rgb8', robot.header())
    measured = np.full((48, 64), np.nan, np.float32)
    measured[10:20] = 2.0
    if kind == 'reference_depth':
        reference = from_array(measured, '32FC1', image.header)
    else:
        camera = CameraModel(info.k, (64, 48))
        reference = from_cloud(point_cloud(measured, camera, flying=True), image.header)
    publisher = robot.publisher(type(reference), kind)

    def before():
        robot.tell(info)
        publisher.publish(reference)
        robot.spin(0.1)
        robot.state()

    answers = robot.ask(image, before=before)
    metres = array_of(answers['depth/image_raw'])
    np.testing.assert_allclose(metres[10:20], 2.0, atol=1e-3)
    assert answers['depth/camera_info'].header == image.header


def test_a_frame_without_the_transform_of_gravity_is_answered_and_says_so(robot):
    robot.listen('depth/image_raw')
    robot.tell(camera_info(64, 48))
    for change in ({'depth__camera_height': 1.0}, {'depth__gravity_frame': 'odom'},
                   {'depth__scale': 'ground_plane'}):
        assert robot.set(**change) == ''
    start = len(robot.node.text())
    robot.ask(from_array(picture(), 'rgb8', robot.header()))
    robot.node.wait_for_line('depth.gravity_frame is not used, the floor is found by the normals '
                             'alone: .*odom', after=start)


def test_label_info_reaches_those_who_subscribe_late(robot):
    from rclpy.qos import DurabilityPolicy, QoSProfile
    robot.listen('semantic/labels')
    robot.ask(from_array(picture(), 'rgb8', robot.header()))
    robot.heard.pop('semantic/label_info', None)
    robot.listen('semantic/label_info', message_type=LabelInfo,
                 qos=QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    robot.spin(until=lambda: 'semantic/label_info' in robot.heard, what='latched label_info')
    info = robot.heard['semantic/label_info']
    assert list(info.names) == ['person'] and list(info.class_ids) == [1]


@pytest.mark.parametrize('extension, form', [('.jpg', 'rgb8; jpeg compressed bgr8'),
                                             ('.png', 'png')])
def test_compressed_images_are_answered(robot, extension, form):
    assert robot.change_state('deactivate')
    assert robot.set(image_transport='compressed') == ''
    assert robot.change_state('activate')
    robot.listen('depth/relative')
    message = CompressedImage(header=robot.header(), format=form)
    message.data.frombytes(cv2.imencode(extension, picture())[1].tobytes())
    depth = robot.ask(message)['depth/relative']
    assert (depth.width, depth.height) == (64, 48) and depth.header == message.header
    assert robot.change_state('deactivate')
    assert robot.set(image_transport='raw') == ''
    assert robot.change_state('activate')


def test_a_truncated_compressed_image_gives_one_line_and_the_next_is_answered(robot):
    assert robot.change_state('deactivate')
    assert robot.set(image_transport='compressed') == ''
    assert robot.change_state('activate')
    robot.listen('depth/relative')
    start = len(robot.node.text())
    whole = CompressedImage(header=robot.header(), format='png')
    whole.data.frombytes(cv2.imencode('.png', picture())[1].tobytes())
    robot.send(CompressedImage(header=robot.header(), format='png', data=whole.data[:60]))
    robot.spin(1.0)  # before a newer image takes its place
    robot.ask(whole)
    line = robot.node.wait_for_line('image/compressed: image ignored: .* truncated', after=start)
    assert len(robot.node.text()[start:].splitlines()) == 1, line
    assert robot.change_state('deactivate')
    assert robot.set(image_transport='raw') == ''
    assert robot.change_state('activate')


def test_a_task_runs_only_while_somebody_listens_to_its_output(robot):
    robot.listen()
    robot.spin(0.5)
    before = int(robot.report()[2]['frames answered'])
    for _ in range(3):
        robot.send(from_array(picture(), 'rgb8', robot.header()))
        robot.spin(0.2)
    assert int(robot.report()[2]['frames answered']) == before
    robot.listen('normals/color')
    robot.ask(from_array(picture(), 'rgb8', robot.header()))
    assert int(robot.report()[2]['frames answered']) > before


def test_somebody_who_listens_to_a_task_that_is_off_is_told_why_nothing_comes(robot):
    assert robot.set(tasks=['depth']) == ''
    robot.listen('poses', 'depth/relative')
    start = len(robot.node.text())
    robot.ask(from_array(picture(), 'rgb8', robot.header()), 'depth/relative')
    robot.node.wait_for_line("results of pose, which the parameter 'tasks'", after=start)


def test_the_same_frame_twice_gives_the_same_bytes(robot):
    robot.listen('depth/relative', 'normals/image_raw', 'entities/labels')
    first, second = (robot.ask(from_array(picture(), 'rgb8', robot.header())) for _ in range(2))
    for topic in first:
        assert first[topic].data == second[topic].data, topic


def test_disable_stops_the_answers_and_enable_brings_them_back(robot):
    robot.listen('depth/relative')
    robot.ask(from_array(picture(), 'rgb8', robot.header()))
    assert robot.enable(False)
    robot.heard_all = []
    robot.send(from_array(picture(), 'rgb8', robot.header()))
    robot.spin(1.0)
    assert not robot.heard_all
    assert robot.enable(True)
    robot.ask(from_array(picture(), 'rgb8', robot.header()))


def test_diagnostics_tell_rates_latencies_by_stage_memory_and_the_model(robot):
    robot.listen('depth/relative')
    robot.ask(from_array(picture(), 'rgb8', robot.header()))
    _, message, values = robot.report()
    for stage in ('wait', 'convert', 'infer', 'decode', 'publish', 'total'):
        assert float(values[f'latency {stage} median ms']) >= 0
    assert values['device'] == 'cpu' and values['model'].endswith('tiny')
    assert int(values['memory of the process MiB']) > 50
    assert float(values['memory of transformer MiB']) > 0
    assert values['state'] == 'active' and message


def test_the_latency_of_every_frame_is_published(robot):
    from std_msgs.msg import Float64
    robot.listen('depth/relative')
    robot.listen('depth/relative', '/diception/debug/latency_ms', message_type=Float64)
    robot.ask(from_array(picture(), 'rgb8', robot.header()), 'depth/relative')
    robot.spin(until=lambda: '/diception/debug/latency_ms' in robot.heard, what='latency_ms')
    assert robot.heard['/diception/debug/latency_ms'].data > 0
