# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs Image and CompressedImage to numpy, and numpy to Image, with numpy and OpenCV.

Everything that can be wrong with a message raises ImageError with one line that says what and,
where there is one, the way out; the caller adds the topic. `check` costs nothing that grows with
the picture, so a broken message can be refused where it arrives, before it displaces a good one.
"""

import array
import struct
import zlib

import cv2
import numpy as np
import simplejpeg
from sensor_msgs.msg import Image

from diception_ros.bit_depth import BitDepth

MAX_SIDE = 16384      # pixels; OpenCV's remap and LK cannot address more than 32767
MAX_PIXELS = 1 << 26  # 64 megapixels: a compressed message of some kilobytes can claim any size


# REP-118: 16UC1 is millimetres, 32FC1 metres. A grey picture of 16 bits is mono16.
DEPTH_ENCODINGS = ('16UC1', '32FC1', '64FC1')


class ImageError(ValueError):
    """An image message that cannot be used; str() is one line."""


def check(message):
    """Raise ImageError if `message` (Image or CompressedImage) cannot be a colour picture."""
    if not isinstance(message, Image):
        _compressed_size(message)
        return
    encoding = message.encoding
    if encoding not in _PICTURES:
        _check_colour(encoding)
        if _working_cv_bridge() is None:
            raise ImageError(f'its encoding {encoding[:40]!r} is unknown: use one of '
                             f'{", ".join(_PICTURES)}, or install a cv_bridge that knows it')
    _check_layout(message)


def to_rgb(message, damaged=lambda words: None, to_uint8=None):
    """Convert an Image or CompressedImage to a picture.

    Returns uint8 RGB (H, W, 3), contiguous; it may share memory with the message. 8UC3 and 8UC4 are
    taken as OpenCV's BGR and BGRA. damaged(words) is called for a compressed picture that can be
    decoded, but not without doubt. to_uint8(uint16 (H, W, 3)) scales 16-bit pictures: a BitDepth's,
    None = one that knows this picture only.
    """
    check(message)
    if not isinstance(message, Image):
        picture = _decompress(message, damaged)
    elif message.encoding in _PICTURES:
        picture = np.ascontiguousarray(_PICTURES[message.encoding](message))
    else:
        picture = _with_cv_bridge(message)
    return picture if picture.dtype == np.uint8 else (to_uint8 or BitDepth().to_uint8)(picture)


def to_depth(message):
    """Convert a depth Image to float32 metres (H, W), NaN where unknown.

    REP-118: 16UC1 (mono16 is accepted) is millimetres with 0 unknown, 32FC1 is metres; values that
    are not finite and positive become NaN.
    """
    encoding = message.encoding
    if encoding not in ('16UC1', 'mono16', '32FC1'):
        raise ImageError(f'its encoding {encoding[:40]!r} is not a depth image: publish 16UC1 '
                         '(millimetres) or 32FC1 (metres)')
    _check_layout(message)
    order = '>' if message.is_bigendian else '<'
    if encoding == '32FC1':
        depth = _view(message, order + 'f4').astype(np.float32)
    else:
        depth = _view(message, order + 'u2').astype(np.float32)
        depth *= 0.001
    with np.errstate(invalid='ignore'):
        depth[~((depth > 0) & (depth < np.inf))] = np.nan
    return depth


def silence_opencv():
    """Keep OpenCV from printing about broken JPEGs and PNGs: ImageError says it, once."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def from_array(picture, encoding, header):
    """Make an Image of `picture` (H, W) or (H, W, C), whose dtype must be the encoding's."""
    picture = np.ascontiguousarray(picture)
    data = array.array('B')
    # rclpy checks any other type element by element: 0.3 s a frame on older distributions.
    data.frombytes(memoryview(picture).cast('B') if picture.size else b'')
    return Image(header=header, height=picture.shape[0], width=picture.shape[1], encoding=encoding,
                 is_bigendian=0, step=picture.strides[0], data=data)


# ---- raw encodings -----------------------------------------------------------------------------

def _view(message, dtype, channels=1, rows=None):
    """View the data as (rows, width[, channels]), whatever the padding of the rows."""
    dtype = np.dtype(dtype)
    shape = (rows or message.height, message.width) + ((channels,) if channels > 1 else ())
    strides = (message.step, channels * dtype.itemsize)
    if channels > 1:
        strides += (strides[1] // channels,)
    return np.ndarray(shape, dtype, message.data, 0, strides)


def _bytes(channels, code=None):
    """Return a converter for 8-bit pictures; `code` is OpenCV's way to RGB."""
    def convert(message):
        picture = _view(message, np.uint8, channels)
        return picture if code is None else cv2.cvtColor(picture, code)
    return convert


def _words(channels, code=None):
    """Return a converter for 16-bit pictures, to uint16."""
    def convert(message):
        picture = _view(message, '>u2' if message.is_bigendian else '<u2', channels)
        picture = np.ascontiguousarray(picture, np.uint16)
        return picture if code is None else cv2.cvtColor(picture, code)
    return convert


def _planes(code):
    """Return a converter for NV12 and NV21: luma rows, then half as many rows of chroma pairs."""
    def convert(message):
        rows = message.height * 3 // 2
        return cv2.cvtColor(np.ascontiguousarray(_view(message, np.uint8, rows=rows)), code)
    return convert


def _nv24(message):
    """Convert NV24 (chroma at full resolution) through NV12, to share OpenCV's range and matrix."""
    luma = _view(message, np.uint8)
    chroma = np.ndarray((message.height, message.width, 2), np.uint8, message.data,
                        message.step * message.height, (2 * message.step, 2, 1))
    halved = chroma[::2, ::2].reshape(message.height // 2, message.width)
    return cv2.cvtColor(np.concatenate([luma, halved]), cv2.COLOR_YUV2RGB_NV12)


# OpenCV names a Bayer pattern by pixels of its second row, ROS by its first two rows.
_BAYER = {'rggb': cv2.COLOR_BayerBG2RGB, 'bggr': cv2.COLOR_BayerRG2RGB,
          'gbrg': cv2.COLOR_BayerGR2RGB, 'grbg': cv2.COLOR_BayerGB2RGB}

_PICTURES = {
    'rgb8': _bytes(3), 'bgr8': _bytes(3, cv2.COLOR_BGR2RGB),
    'rgba8': _bytes(4, cv2.COLOR_RGBA2RGB), 'bgra8': _bytes(4, cv2.COLOR_BGRA2RGB),
    'mono8': _bytes(1, cv2.COLOR_GRAY2RGB), '8UC1': _bytes(1, cv2.COLOR_GRAY2RGB),
    '8UC3': _bytes(3, cv2.COLOR_BGR2RGB), '8UC4': _bytes(4, cv2.COLOR_BGRA2RGB),
    'rgb16': _words(3), 'bgr16': _words(3, cv2.COLOR_BGR2RGB),
    'rgba16': _words(4, cv2.COLOR_RGBA2RGB), 'bgra16': _words(4, cv2.COLOR_BGRA2RGB),
    'mono16': _words(1, cv2.COLOR_GRAY2RGB),
    '16UC3': _words(3, cv2.COLOR_BGR2RGB), '16UC4': _words(4, cv2.COLOR_BGRA2RGB),
    'uyvy': _bytes(2, cv2.COLOR_YUV2RGB_UYVY), 'yuv422': _bytes(2, cv2.COLOR_YUV2RGB_UYVY),
    'yuyv': _bytes(2, cv2.COLOR_YUV2RGB_YUY2), 'yuv422_yuy2': _bytes(2, cv2.COLOR_YUV2RGB_YUY2),
    'nv12': _planes(cv2.COLOR_YUV2RGB_NV12), 'nv21': _planes(cv2.COLOR_YUV2RGB_NV21),
    'nv24': _nv24,
}
for _pattern, _code in _BAYER.items():
    _PICTURES[f'bayer_{_pattern}8'] = _bytes(1, _code)
    _PICTURES[f'bayer_{_pattern}16'] = _words(1, _code)

ENCODINGS = tuple(_PICTURES)
_PIXEL_BYTES = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, '8UC1': 1, '8UC3': 3,
                '8UC4': 4, 'rgb16': 6, 'bgr16': 6, 'rgba16': 8, 'bgra16': 8, 'mono16': 2,
                '16UC1': 2, '16UC3': 6, '16UC4': 8, 'uyvy': 2, 'yuv422': 2, 'yuyv': 2,
                'yuv422_yuy2': 2, 'nv12': 1, 'nv21': 1, 'nv24': 1, '32FC1': 4,
                **{f'bayer_{pattern}{bits}': bits // 8 for pattern in _BAYER for bits in (8, 16)}}


def _check_colour(encoding):
    if encoding in DEPTH_ENCODINGS:
        grey = ', or publish a grey picture as mono16' if encoding == '16UC1' else ''
        raise ImageError(f"its encoding '{encoding}' is that of a depth image, not of a picture: "
                         f'remap image to the colour image{grey}')


def _check_size(width, height):
    if width == 0 or height == 0:
        raise ImageError(f'it has no pixels ({width}x{height})')
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(f'it is too large ({width}x{height}): at most {MAX_SIDE} pixels a side '
                         f'and {MAX_PIXELS >> 20} megapixels')


def _check_layout(message):
    width, height, step, encoding = message.width, message.height, message.step, message.encoding
    _check_size(width, height)
    row = width * _PIXEL_BYTES.get(encoding, 1)
    if step < row:
        raise ImageError(f'its step is wrong: {step} bytes a row, but {width} pixels of {encoding} '
                         f'take {row}')
    subsampled = 'yuv' in encoding or encoding in ('uyvy', 'yuyv', 'nv12', 'nv21', 'nv24')
    if subsampled and (width % 2 or (encoding.startswith('nv') and height % 2)):
        raise ImageError(f'its size {width}x{height} is odd, which {encoding} cannot have')
    if encoding.startswith('bayer') and min(width, height) < 2:
        raise ImageError(f'its size {width}x{height} is less than one Bayer cell')
    rows = {'nv12': height * 3 // 2, 'nv21': height * 3 // 2, 'nv24': height * 3}.get(
        encoding, height)
    needed = step * (rows - 1) + row  # the last row may come without its padding
    if len(message.data) < needed:
        raise ImageError(f'it has too little data: {len(message.data)} bytes, but {width}x{height} '
                         f'{encoding} with step {step} takes {needed}')


# ---- compressed --------------------------------------------------------------------------------

def _compressed_size(message):
    """Return (width, height) from the first bytes of a JPEG or PNG; raise ImageError otherwise."""
    if 'compressedDepth' in message.format:
        raise ImageError(f'its format {message.format[:60]!r} is that of a depth image, not of a '
                         'picture: remap image to the colour image')
    _check_colour(message.format.partition(';')[0].strip())
    data = memoryview(message.data)
    if data[:8] == b'\x89PNG\r\n\x1a\n' and len(data) >= 24:
        size = struct.unpack_from('>II', data, 16)
    elif data[:2] == b'\xff\xd8':
        size = _jpeg_size(data)
    else:
        raise ImageError(f'its {len(data)} bytes (format {message.format[:60]!r}) are neither JPEG '
                         'nor PNG')
    _check_size(*size)
    return size


def _jpeg_size(data):
    """Walk a JPEG's segments to its frame header."""
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xff:
            break
        marker = data[position + 1]
        if marker == 0xff:  # fill byte
            position += 1
        elif 0xc0 <= marker <= 0xcf and marker not in (0xc4, 0xc8, 0xcc):
            height, width = struct.unpack_from('>HH', data, position + 5)
            return width, height
        elif marker in (0x01, *range(0xd0, 0xd9)):  # these have no length
            position += 2
        else:
            position += 2 + struct.unpack_from('>H', data, position + 2)[0]
    raise ImageError(f'its JPEG of {len(data)} bytes is broken or truncated: no frame header')


def _decompress(message, damaged):
    data = bytes(message.data)
    original, _, rest = message.format.partition(';')
    # image_transport names what went in, and after 'compressed' what it was converted to first.
    raw_bayer = original.startswith('bayer_') and rest.strip().endswith('compressed')
    try:
        if data[:2] == b'\xff\xd8':
            picture = _decode_jpeg(data, 'GRAY' if raw_bayer else 'RGB', damaged)
            code = None
        else:
            _check_png(data)
            picture = _decode_png(data, cv2.IMREAD_GRAYSCALE if raw_bayer else cv2.IMREAD_COLOR)
            code = cv2.COLOR_BGR2RGB
    except ValueError as error:
        raise ImageError(f'its {len(data)} bytes (format {message.format[:60]!r}) are broken or '
                         f'truncated: {error}') from None
    if raw_bayer:
        code = _BAYER.get(original[6:10], cv2.COLOR_GRAY2RGB)
    return picture if code is None else cv2.cvtColor(picture, code)


def _decode_jpeg(data, colorspace, damaged):
    """Decode to uint8 (H, W, 3) or (H, W, 1), EXIF's orientation left alone: a turned picture would
    not fit its camera_info. What libjpeg can mend is handed to damaged() in its words.
    """
    try:
        return simplejpeg.decode_jpeg(data, colorspace)
    except ValueError as error:
        picture = simplejpeg.decode_jpeg(data, colorspace, strict=False)
        damaged(str(error))
        return picture


def _check_png(data):
    """Raise ValueError if a PNG is cut off or a checksum is wrong: libpng would print it."""
    position, name = 8, b''
    while name != b'IEND':
        if position + 12 > len(data):
            raise ValueError('the PNG ends within a chunk')
        length, name = struct.unpack_from('>I4s', data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError('the PNG ends within a chunk')
        if zlib.crc32(memoryview(data)[position + 4:end - 4]) != struct.unpack_from(
                '>I', data, end - 4)[0]:
            raise ValueError(f'the checksum of the chunk {name.decode(errors="replace")} of the '
                             'PNG is wrong')
        position = end


def _decode_png(data, color):
    """Decode to uint8 or uint16, (H, W) or BGR (H, W, 3)."""
    flags = color | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(error.err) from None
    if picture is None:
        raise ValueError('no decoder takes them')
    return picture


# ---- encodings that only cv_bridge knows -------------------------------------------------------

_cv_bridge = []  # looked for once, at the first unknown encoding


def _working_cv_bridge():
    """Return a CvBridge that passes a small trial, or None: several builds break with numpy 2."""
    if not _cv_bridge:
        trial = from_array(np.array([[1, 2], [3, 4]], np.uint8), 'mono8', None)
        try:
            from cv_bridge import CvBridge
            bridge = CvBridge()
            picture = bridge.imgmsg_to_cv2(trial, 'rgb8')
            works = np.array_equal(picture[..., 0], [[1, 2], [3, 4]])
        except Exception:  # its C extension raises whatever it likes, ImportError the mildest
            works = False
        _cv_bridge.append(bridge if works else None)
    return _cv_bridge[0]


def _with_cv_bridge(message):
    try:
        return np.ascontiguousarray(_working_cv_bridge().imgmsg_to_cv2(message, 'rgb8'))
    except Exception as error:  # cv_bridge raises CvBridgeError, cv2.error, RuntimeError, KeyError
        line = ' '.join(str(error).split())
        raise ImageError(f'cv_bridge cannot convert its encoding {message.encoding[:40]!r}: '
                         f'{line}') from None
