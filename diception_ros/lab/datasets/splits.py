# SPDX-License-Identifier: Apache-2.0
"""Which pictures are trained on and which only measure: one rule, for all that is made of them."""
from __future__ import annotations

import hashlib
from pathlib import Path

SPLITS = ('train', 'validation', 'test')
# Whole sources that no model is trained on.
TEST_SOURCES = ('coco_cc', 'tum_rgbd', 'posecnn_ycb', 'arc_bins', 'pcl_tutorials', 'tidybot',
                'osd_learn')
# Of these, people and their absence are measured: one picture in ten is for that alone.
TENTH_IS_TEST = ('doors', 'intel_sample_videos', 'cid22')
VIDEOS = ('intel_sample_videos', 'sam2_demo')
# Test pictures whose teachers' labels turned out wrong when they were looked at: a painted person,
# mannequins, people half seen, a stool's legs, a window.
NOT_JUDGED = frozenset(f'doors/{stem}.jpg' for stem in (
    '00030', '00094', '00221', '00491', '00874', '00989', '01002')) | {'cid22/train_198.jpg'}
TEST, VALIDATION = 0.05, 0.05      # of other sources


def split_of(source: str, name: str) -> str:
    """'train', 'validation' or 'test' of a picture, by its source's folder and its file's name
    alone. Frames of one video stay together: what counts is the name without the number at its
    end."""
    stem = Path(name).stem
    if source in TEST_SOURCES:
        return 'test'
    share = share_of(source, (stem.rstrip('0123456789') if source in VIDEOS else '') or stem)
    if share < (0.1 if source in TENTH_IS_TEST else TEST):
        return 'test'
    return 'validation' if share >= 1 - VALIDATION else 'train'


def share_of(*words: str) -> float:
    """A number in [0, 1) that depends on the words alone."""
    digest = hashlib.sha256('/'.join(words).encode()).digest()
    return int.from_bytes(digest[:8], 'big') / 2**64
