# SPDX-License-Identifier: Apache-2.0
"""Keep the memory of one frame for the next, and give back that of a model that is gone."""

import ctypes

# mallopt's names for what it changes (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST = 1 << 30  # bytes; a message of 64 megapixels has less


def keep_freed_memory():
    """Tell the C library to keep what is freed for the next use, in all threads; return whether
    it does.

    Pictures are large enough that glibc takes the memory of each from the system and gives it back
    a moment later. Every page of it is then cleared by the kernel anew, frame by frame: a third
    to a half of the time that it takes to publish. The process keeps the size of its largest frame
    so far. Only glibc knows how; elsewhere nothing changes.
    """
    mallopt = _of_the_c_library('mallopt')
    if mallopt is None:
        return False
    # One arena: those of single threads are cut into pieces too small for large pictures.
    return bool(mallopt(_ARENA_MAX, 1) and mallopt(_MMAP_THRESHOLD, _LARGEST)
                and mallopt(_TRIM_THRESHOLD, _LARGEST))


def give_back_freed_memory():
    """Return what is kept to the system: after a model was loaded or freed, it is much at once."""
    malloc_trim = _of_the_c_library('malloc_trim')
    if malloc_trim is not None:
        malloc_trim(0)


def _of_the_c_library(name):
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
