# SPDX-License-Identifier: Apache-2.0
"""16-bit pictures to 8 bits: how many of the bits a camera uses, told or measured."""

import cv2

SENSOR_BITS = (8, 10, 12, 14, 16)  # what analogue-to-digital converters of cameras give
BITS = ('auto', *map(str, range(8, 17)))  # what may be said


class BitDepth:
    """The used bits of one camera's 16-bit values.

    Measured, they can only grow: the first image decides, and a later one changes it only where a
    value is larger than they allow, so that brightness does not flicker. told(text) is called
    whenever a measurement is taken, one line.
    """

    def __init__(self, told=lambda text: None):
        self._told = told
        self._measured = 0

    def to_uint8(self, values, bits='auto'):
        """Scale uint16 (H, W) or (H, W, 3) to uint8 so that 2**bits - 1 becomes 255.

        bits: 8 to 16, or 'auto' = measured. Larger values become 255.
        """
        if bits == 'auto':
            highest = int(values.max(initial=0))
            needed = next(number for number in SENSOR_BITS if highest < 2 ** number)
            if needed > self._measured:
                self._measured = needed
                self._told(f'16-bit values up to {highest}: {needed} bits are taken as used')
            bits = self._measured
        return cv2.convertScaleAbs(values, alpha=255 / (2 ** int(bits) - 1)).reshape(values.shape)
