# SPDX-License-Identifier: Apache-2.0
"""The message that tells what the semantic labels mean."""

from diception_ros.msg import LabelInfo


def label_info(found, answer):
    """Make the message of the categories asked for; None where there are none."""
    names = answer.categories
    return LabelInfo(header=answer.header, names=names,
                     class_ids=range(1, len(names) + 1)) if names else None
