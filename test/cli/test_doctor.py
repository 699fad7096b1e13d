# SPDX-License-Identifier: Apache-2.0
"""`diception doctor` on the command line: one line each, status 1 if anything is unfit."""
import sys

import cv2
import numpy as np
import pytest

from diception_ros.cli import doctor, main


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    from tiny_model import write_tiny_model
    return write_tiny_model(tmp_path_factory.mktemp('models') / 'tiny')


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(['doctor', *map(str, arguments)])
    return ended.value.code


def test_a_fit_model_and_device_are_told_in_one_line_each(tiny, capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'examine_ros', lambda: iter(()))
    assert call(tiny) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[1] for line in lines] == ['python', 'torch', 'device', 'model',
                                                   'inference']
    assert 'tiny: 64x64' in lines[3] and '2 categories' in lines[3]


def test_an_unfit_model_is_told_with_the_way_out_and_status_1(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'examine_ros', lambda: iter(()))
    assert call(tmp_path) == 1
    assert 'BAD   model' in capsys.readouterr().out


def test_a_missing_device_is_told(tiny, capsys, monkeypatch):
    torch = pytest.importorskip('torch')
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    monkeypatch.setattr(doctor, 'examine_ros', lambda: iter(()))
    assert call(tiny, '--device', 'cuda') == 1
    assert "BAD   device      device: 'cuda' asked for" in capsys.readouterr().out


def test_a_picture_is_sent_through_the_middleware(monkeypatch):
    pytest.importorskip('rclpy', reason='no ROS 2')
    monkeypatch.setenv('ROS_DOMAIN_ID', '77')
    findings = {what: (state, how) for state, what, how in doctor.examine_ros()}
    assert findings['ros'][0] == findings['transport'][0] == doctor.GOOD
    assert 'picture arrives after' in findings['transport'][1]


def test_ros_that_is_missing_is_told_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, 'rclpy', None)
    (state, what, how), = doctor.examine_ros()
    assert (state, what) == (doctor.BAD, 'ros') and 'source a ROS 2 installation' in how


def test_point_order_reports_both_orders(tiny, tmp_path, capsys):
    labels = np.zeros((64, 64), np.uint8)
    labels[2:20, 40:60] = 1
    for name, picture in (('images/a.png', np.zeros((64, 64, 3), np.uint8)),
                          ('masks/a.png', labels)):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), picture)
    assert call('--point-order', tiny, tmp_path) in (0, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('yx: mIoU') and 'as diception.json says' in lines[0]
    assert lines[1].startswith('xy: mIoU') and 'of 1 clicks' in lines[1]
    assert 'undecided' in lines[2] or 'is right' in lines[2]


def test_point_order_without_masks_is_a_wrong_call(tiny, capsys):
    assert call('--point-order', tiny) == 1
    assert 'MASKS is missing' in capsys.readouterr().err
