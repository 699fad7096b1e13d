# SPDX-License-Identifier: Apache-2.0
"""A node that answers the truth gets full marks on the demo's page."""

import re

import numpy as np
import pytest

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.judging import frames_of, together, truth_of
from diception_ros.bags.page import write_page
from diception_ros.bags.recording import Arrival
from diception_ros.bags.source import source_of
from diception_ros.cli.demo import Played
from diception_ros.tasks import drawing
from diception_ros.tasks.depth import relative_disparity


def perfect_answers(path, camera, drop):
    """A bag of what a perfect node answers to a camera bag, but for the frames in `drop`."""
    sent, clicked, arrivals = {}, [], []
    with bags.BagWriter(path) as out:
        for number, frame in enumerate(frames_of(camera)):
            truth, stamp = truth_of(frame), frame.stamp
            sent[stamp] = float(number)
            if number in drop:
                continue
            head = bags.header(stamp, 'camera')
            person = [i for i, name in truth.categories.items() if name == 'person']
            gray = np.isin(truth.instances, person).astype(np.uint8)
            answers = {
                'depth/relative': (relative_disparity(truth.depth), '32FC1'),
                'depth/image_raw': (truth.depth, '32FC1'),
                'normals/image_raw': (truth.normals, '32FC3'),
                'entities/labels': (truth.instances.astype(np.uint16), 'mono16'),
                'semantic/labels': (gray, 'mono8'),
                'segmentation/mask': ((truth.instances == clicked_label(camera)) * np.uint8(255),
                                      'mono8'),
                'overlay': (truth.rgb, 'rgb8'),
                'entities/color': (drawing.labels(truth.instances), 'rgb8'),
            }
            for topic, (picture, encoding) in answers.items():
                out.write(f'/diception/{topic}', stamp, bags.image(head, picture, encoding))
                arrivals.append(Arrival(f'/diception/{topic}', stamp, number + 0.25))
            poses = frame.data['/truth/poses']
            out.write('/diception/poses', stamp, poses, 'diception_ros/msg/PoseKeypointsArray')
            arrivals.append(Arrival('/diception/poses', stamp, number + 0.25))
    with bags.BagReader(camera) as bag:
        for topic, _, data in bag.messages(['/camera/clicked_pixel']):
            point = bags.decode(data, bag.topics[topic].type)
            clicked.append((2, (point.x, point.y)))
    return Played('<b>perfect</b>', 'cpu', sent, clicked, arrivals)


def clicked_label(camera):
    with bags.BagReader(camera) as bag:
        _, time, data = next(bag.messages(['/camera/clicked_pixel']))
        point = bags.decode(data, 'geometry_msgs/msg/Point')
    for number, frame in enumerate(frames_of(camera, {'/truth/entities/labels'})):
        if number == 2:
            return frame.picture('/truth/entities/labels')[int(point.y), int(point.x)]
    raise AssertionError('no third frame')


@pytest.fixture(scope='module')
def written(small_bag, tmp_path_factory):
    out = tmp_path_factory.mktemp('demo')
    played = perfect_answers(out / 'outputs', small_bag, drop={1})
    return out, write_page(source_of(small_bag, '/camera/image_raw'), played, out)


def test_perfect_answers_get_full_marks(written):
    lines = {line.topic: line for line in written[1].topics}
    assert lines['depth/relative'].accuracy.startswith('AbsRel 0.0')
    assert lines['depth/image_raw'].accuracy.startswith('AbsRel 0.000, δ1 100%')
    assert lines['normals/image_raw'].accuracy.startswith('0.0° mean')
    assert lines['entities/labels'].accuracy == 'mIoU 1.00'
    assert lines['semantic/labels'].accuracy == 'IoU 1.00 of person'
    assert lines['segmentation/mask'].accuracy == 'IoU 1.00 of the clicked thing'
    assert lines['poses'].accuracy.startswith('PCK@0.1 100%')


def test_drops_and_latencies_are_told_for_every_output(written):
    lines = {line.topic: line for line in written[1].topics}
    assert (lines['overlay'].answered, lines['overlay'].dropped) == (5, 1)
    assert lines['overlay'].median_ms == pytest.approx(250)
    assert lines['points'].answered == 0 and lines['points'].dropped == 6


def test_every_picture_of_the_page_exists(written):
    out, _ = written
    page = (out / 'index.html').read_text()
    pictures = re.findall(r'src="([^"]+)"', page)
    assert len(pictures) >= 20 and all((out / picture).exists() for picture in pictures)
    assert (out / 'demo.jpg').exists() and '<svg' in page and 'http' not in page


def test_what_others_wrote_is_shown_as_text_and_the_dropped_frame_as_a_tick(written):
    page = (written[0] / 'index.html').read_text()
    assert '&lt;b&gt;perfect&lt;/b&gt;' in page and '<b>perfect' not in page
    assert page.count('class="answered"') == 5 and page.count('class="dropped"') == 1


def test_frames_of_two_bags_are_paired_by_stamp(small_bag):
    stamps = [frame.stamp for frame in frames_of(small_bag)]
    both = together(frames_of(small_bag), (f for f in frames_of(small_bag) if f.stamp > stamps[2]))
    assert [(one.stamp, two.stamp) for one, two in both] == [(s, s) for s in stamps[3:]]
