# SPDX-License-Identifier: Apache-2.0
"""Every encoding that cameras send gives the same picture, and broken messages give one line."""

import array
import sys
import types

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from diception_ros.bit_depth import BitDepth
from diception_ros.ros import images

HEADER = Header(frame_id='camera')


def smooth_picture(width=64, height=48):
    """Return a picture without edges, so that Bayer and chroma subsampling lose little."""
    y, x = np.mgrid[:height, :width]
    channels = [x / width, y / height, (x + y) / (width + height)]
    return (40 + 170 * np.stack(channels, -1)).astype(np.uint8)


def mosaic(rgb, pattern):
    """Sample a picture through a Bayer filter named by its first two rows."""
    out = np.empty(rgb.shape[:2], np.uint8)
    for (row, column), color in zip(((0, 0), (0, 1), (1, 0), (1, 1)), pattern):
        out[row::2, column::2] = rgb[row::2, column::2, 'rgb'.index(color)]
    return out


def yuv(rgb, encoding):
    """Encode as BT.601 video range, by the definition, not by OpenCV; rows of bytes."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    u = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    v = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    y, u, v = (np.rint(p).astype(np.uint8) for p in (y, u, v))
    height, width = y.shape
    if encoding in ('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'):
        chroma = np.empty_like(y)
        chroma[:, 0::2], chroma[:, 1::2] = u[:, 0::2], v[:, 0::2]
        pair = [chroma, y] if encoding in ('uyvy', 'yuv422') else [y, chroma]
        return np.stack(pair, -1).reshape(height, 2 * width)
    if encoding == 'nv24':
        return np.concatenate([y, np.stack([u, v], -1).reshape(2 * height, width)])
    pair = [u, v] if encoding == 'nv12' else [v, u]
    chroma = np.stack([p[::2, ::2] for p in pair], -1).reshape(height // 2, width)
    return np.concatenate([y, chroma])


def message_of(rgb, encoding, padding=0, big_endian=False):
    """Encode a picture as a camera would; returns an Image."""
    height, width = rgb.shape[:2]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    plain = {'rgb': rgb, 'bgr': rgb[..., ::-1], 'rgba': np.dstack([rgb, rgb[..., :1]]),
             'bgra': np.dstack([rgb[..., ::-1], rgb[..., :1]]), 'mono': grey}
    generic = {'8UC1': 'mono8', '8UC3': 'bgr8', '8UC4': 'bgra8', '16UC3': 'bgr16',
               '16UC4': 'bgra16'}
    name = generic.get(encoding, encoding)
    if name.startswith('bayer'):
        pixels = mosaic(rgb, name[6:10])
        bits = 16 if name.endswith('16') else 8
    elif 'yuv' in name or 'yv' in name or name.startswith('nv'):
        pixels, bits = yuv(rgb, name), 8
    else:
        bits = 16 if name.endswith('16') else 8
        pixels = plain[name.removesuffix(str(bits))]
    if bits == 16:
        pixels = (pixels.astype(np.uint16) * 257).astype('>u2' if big_endian else '<u2')
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    if name == 'nv24':  # a chroma row is twice as long as a luma row, its padding as well
        luma = np.pad(rows[:height], ((0, 0), (0, padding)))
        chroma = np.pad(rows[height:].reshape(height, -1), ((0, 0), (0, 2 * padding)))
        rows = np.concatenate([luma, chroma.reshape(2 * height, -1)])
    else:
        rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    message = Image(header=HEADER, height=height, width=width, encoding=encoding,
                    is_bigendian=int(big_endian), step=rows.shape[1])
    message.data.frombytes(rows.tobytes())
    return message


def compressed(data, form):
    message = CompressedImage(header=HEADER, format=form)
    message.data.frombytes(bytes(data))
    return message


@pytest.mark.parametrize('encoding', sorted(images.ENCODINGS))
@pytest.mark.parametrize('padding', [0, 10])
def test_every_encoding_gives_the_picture_back(encoding, padding):
    rgb = smooth_picture()
    expected = rgb
    if encoding in ('mono8', 'mono16', '8UC1'):
        expected = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    exact = not (encoding.startswith('bayer') or 'yuv' in encoding or 'yv' in encoding
                 or encoding.startswith('nv'))
    for big_endian in (False, True):
        got = images.to_rgb(message_of(rgb, encoding, padding, big_endian))
        assert got.dtype == np.uint8 and got.shape == rgb.shape and got.flags.c_contiguous
        assert np.abs(got.astype(int) - expected)[2:-2, 2:-2].max() <= (0 if exact else 5)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_a_bayer_filter_does_not_swap_red_and_blue(pattern):
    rgb = np.tile(np.uint8((200, 100, 20)), (16, 16, 1))
    got = images.to_rgb(message_of(rgb, f'bayer_{pattern}8'))
    assert np.array_equal(got[8, 8], (200, 100, 20))


def test_an_rgb8_picture_is_not_copied():
    message = message_of(smooth_picture(), 'rgb8')
    assert np.shares_memory(images.to_rgb(message), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize('extension, form', [
    ('.jpg', 'rgb8; jpeg compressed bgr8'), ('.jpg', 'jpeg'), ('.jpg', ''),
    ('.png', 'bgr8; png compressed bgr8'), ('.png', 'png')])
def test_compressed_pictures_are_decoded_by_their_content(extension, form):
    rgb = smooth_picture()
    data = cv2.imencode(extension, rgb[..., ::-1])[1]
    got = images.to_rgb(compressed(data, form))
    assert np.abs(got.astype(int) - rgb).max() <= (0 if extension == '.png' else 12)


@pytest.mark.parametrize('bits', [10, 12, 14, 16])
@pytest.mark.parametrize('kind', ['mono16', 'bayer_grbg16', 'rgb16', 'bgra16', 'png'])
def test_a_16_bit_picture_is_as_bright_as_its_8_bit_twin_however_many_bits_are_used(bits, kind):
    """Alpha is full, whatever the colours use."""
    rgb = smooth_picture()
    rgb[:8, :8] = 255
    if kind == 'png':
        values = np.rint(rgb[..., ::-1] * ((2**bits - 1) / 255)).astype(np.uint16)
        message = compressed(cv2.imencode('.png', values)[1], 'rgb16; png compressed')
    else:
        message = message_of(rgb, kind, big_endian=True)
        values = np.frombuffer(message.data, '>u2').reshape(48, 64, -1) / 65535 * (2**bits - 1)
        if kind == 'bgra16':
            values[..., 3] = 65535
        message.data = array.array('B', np.rint(values).astype('>u2').tobytes())
    twin = {'mono16': 'mono8', 'bayer_grbg16': 'bayer_grbg8'}.get(kind, 'rgb8')
    told = []
    got = images.to_rgb(message, to_uint8=BitDepth(told.append).to_uint8)
    assert np.abs(got.astype(int) - images.to_rgb(message_of(rgb, twin))).max() <= 1
    assert told == [f'16-bit values up to {2**bits - 1}: {bits} bits are taken as used']


def test_the_measured_bits_do_not_flicker_and_what_is_told_wins():
    """A dark frame after a bright one is dark; a brighter one is not cut off; each is said once."""
    told = []
    camera = BitDepth(told.append)
    grey = [int(camera.to_uint8(np.full((4, 4), value, np.uint16))[0, 0])
            for value in (1000, 100, 1000, 4000, 100, 1000)]
    assert grey == [249, 25, 249, 249, 6, 62]
    assert [text.partition(': ')[2][:7] for text in told] == ['10 bits', '12 bits']
    assert camera.to_uint8(np.full((4, 4), 1000, np.uint16), '8')[0, 0] == 255
    assert camera.to_uint8(np.full((4, 4), 1000, np.uint16), 16)[0, 0] == 4
    assert len(told) == 2 and BitDepth().to_uint8(np.zeros((4, 4), np.uint16)).max() == 0


@pytest.mark.parametrize('message', [
    images.from_array(np.zeros((4, 4), np.uint16), '16UC1', HEADER),
    images.from_array(np.zeros((4, 4), np.float32), '32FC1', HEADER),
    images.from_array(np.zeros((4, 4), np.float64), '64FC1', HEADER),
    compressed(cv2.imencode('.png', np.zeros((4, 4), np.uint16))[1], '16UC1; png compressed '),
    compressed(cv2.imencode('.png', np.zeros((4, 4), np.uint16))[1], '16UC1; compressedDepth png'),
], ids=['16UC1', '32FC1', '64FC1', 'png', 'compressedDepth'])
def test_a_depth_image_is_no_picture(message):
    with pytest.raises(images.ImageError, match='depth image.*: remap image to the colour image'):
        images.check(message)


def test_a_bayer_png_that_was_not_converted_is_demosaiced():
    rgb = smooth_picture()
    data = cv2.imencode('.png', mosaic(rgb, 'grbg'))[1]
    got = images.to_rgb(compressed(data, 'bayer_grbg8; png compressed '))
    assert np.abs(got.astype(int) - rgb)[2:-2, 2:-2].max() <= 5


def test_a_picture_turned_by_exif_keeps_the_size_that_its_camera_info_has():
    data = bytes(cv2.imencode('.jpg', smooth_picture())[1])
    orientation = b'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0'
    exif = b'\xff\xe1' + (len(orientation) + 2).to_bytes(2, 'big') + orientation
    assert images.to_rgb(compressed(data[:2] + exif + data[2:], 'jpeg')).shape == (48, 64, 3)


def broken(**changes):
    message = message_of(smooth_picture(), 'rgb8')
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize('message, words', [
    (broken(data=broken().data[:100]), 'too little data: 100 bytes'),
    (broken(data=type(broken().data)('B')), 'too little data: 0 bytes'),
    (broken(width=0), 'no pixels'), (broken(height=0), 'no pixels'),
    (broken(step=10), 'step is wrong: 10 bytes'), (broken(step=0), 'step is wrong'),
    (broken(encoding='rgb9'), "encoding 'rgb9' is unknown"), (broken(encoding=''), 'unknown'),
    (broken(encoding='32FC1'), 'remap'), (broken(width=2**32 - 1, height=2**32 - 1), 'too large'),
    (broken(encoding='yuyv', width=63), 'odd'),
    (broken(encoding='nv12', height=47, step=64), 'odd'),
    (broken(encoding='bayer_rggb8', height=1), 'Bayer cell'),
    (compressed(b'', 'jpeg'), 'neither JPEG nor PNG'), (compressed(b'GIF89a', ''), 'neither'),
    (compressed(b'\xff\xd8\xff', 'jpeg'), 'broken or truncated'),
    (compressed(cv2.imencode('.jpg', smooth_picture())[1][:40], 'jpeg'), 'broken or truncated'),
    (compressed(b'\x89PNG\r\n\x1a\n' + b'\0' * 40, 'png'), 'no pixels'),
    (compressed(b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + b'\x7f\xff\xff\xff' * 2, 'png'), 'too large'),
    (compressed(b'x', '32FC1; compressedDepth png'), 'depth'),
])
def test_a_broken_message_is_refused_in_one_line_that_says_why(message, words):
    with pytest.raises(images.ImageError, match='.') as caught:
        images.to_rgb(message)
    assert words in str(caught.value) and '\n' not in str(caught.value)


def damaged(extension, first, last):
    """Return a CompressedImage of noise whose bytes first..last are zero."""
    picture = np.random.default_rng(0).integers(1, 255, (48, 64, 3), np.uint8)
    data = bytearray(cv2.imencode(extension, picture)[1].tobytes())
    data[first:last] = bytes(last - first)
    return compressed(bytes(data), extension[1:])


def test_a_png_with_wrong_bytes_is_refused_and_nothing_is_printed(capfd):
    with pytest.raises(images.ImageError, match='truncated: the checksum of the chunk IDAT'):
        images.to_rgb(damaged('.png', 4000, 4010))
    assert capfd.readouterr().err == ''


def test_a_damaged_jpeg_is_decoded_and_said_to_be_damaged_and_nothing_is_printed(capfd):
    said = []
    assert images.to_rgb(damaged('.jpg', 2000, 2010), said.append).shape == (48, 64, 3)
    assert len(said) == 1 and said[0].startswith('Corrupt JPEG data: ')
    assert capfd.readouterr().err == ''


def test_a_jpeg_has_the_colours_that_opencv_gives_it():
    data = cv2.imencode('.jpg', np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))[1]
    ours = images.to_rgb(compressed(data.tobytes(), 'jpeg')).astype(int)
    theirs = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(ours - theirs).max() <= 1  # their libjpeg may be another


def test_a_truncated_png_is_refused_after_decoding():
    data = cv2.imencode('.png', np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))[1]
    message = compressed(data[:60], 'png')
    images.check(message)
    with pytest.raises(images.ImageError, match='broken or truncated'):
        images.to_rgb(message)


@pytest.mark.parametrize('big_endian', [False, True])
def test_depth_in_millimetres_and_metres_becomes_metres_with_nan_for_unknown(big_endian):
    order = '>' if big_endian else '<'
    millimetres = np.array([[0, 1500], [65535, 1]], order + 'u2')
    message = images.from_array(millimetres, '16UC1', HEADER)
    message.is_bigendian = int(big_endian)
    np.testing.assert_allclose(images.to_depth(message), [[np.nan, 1.5], [65.535, .001]], rtol=1e-6)
    metres = np.array([[np.nan, 1.5], [np.inf, -1]], order + 'f4')
    message = images.from_array(metres, '32FC1', HEADER)
    message.is_bigendian = int(big_endian)
    np.testing.assert_allclose(images.to_depth(message), [[np.nan, 1.5], [np.nan, np.nan]])


def test_a_colour_picture_is_no_reference_depth():
    with pytest.raises(images.ImageError, match='not a depth image: publish 16UC1'):
        images.to_depth(message_of(smooth_picture(), 'rgb8'))


def test_arrays_become_messages_with_their_own_bytes():
    values = np.arange(24, dtype=np.float32).reshape(2, 4, 3)[:, ::2]
    message = images.from_array(values, '32FC3', HEADER)
    assert (message.height, message.width, message.step) == (2, 2, 24)
    assert message.header.frame_id == 'camera' and message.is_bigendian == 0
    assert np.array_equal(np.frombuffer(message.data, np.float32).reshape(2, 2, 3), values)


class Bridge:
    """A cv_bridge that works."""

    def imgmsg_to_cv2(self, message, encoding):
        grey = np.frombuffer(message.data, np.uint8)[:message.height * message.width]
        return np.dstack([grey.reshape(message.height, message.width)] * 3)


class BrokenBridge:
    """A cv_bridge built for another numpy."""

    def imgmsg_to_cv2(self, message, encoding):
        raise SystemError('initialization of cv_bridge_boost failed')


@pytest.mark.parametrize('bridge, works', [(Bridge, True), (BrokenBridge, False)])
def test_an_unknown_encoding_is_handed_to_a_cv_bridge_that_works(monkeypatch, bridge, works):
    monkeypatch.setattr(images, '_cv_bridge', [])
    monkeypatch.setitem(sys.modules, 'cv_bridge', types.SimpleNamespace(CvBridge=bridge))
    message = broken(encoding='mono12p')
    if works:
        assert images.to_rgb(message).shape == (48, 64, 3)
    else:
        with pytest.raises(images.ImageError, match='install a cv_bridge that knows it'):
            images.to_rgb(message)
