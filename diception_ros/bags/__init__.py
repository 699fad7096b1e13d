# SPDX-License-Identifier: Apache-2.0
"""Recordings: rosbag2 files, the live node beside them, recording, replay, comparing, the page."""
