# SPDX-License-Identifier: Apache-2.0
"""What every data set can be asked."""
from __future__ import annotations

from diception_ros.lab.datasets.splits import SPLITS
from diception_ros.tasks import Truth


class Dataset:
    """Pictures by name. A name is one of `names`."""

    names: list[str]
    measured: tuple[str, ...] = SPLITS    # the splits that figures are taken of

    def truth(self, name: str) -> Truth:
        """The picture at its own size, and all that is known about it; ValueError, one line, for
        a file that cannot be read."""
        raise NotImplementedError

    def source(self, name: str) -> str:
        """Where the picture is from: figures and weights are given by source."""
        raise NotImplementedError

    def split(self, name: str) -> str:
        """'train', 'validation' or 'test'."""
        raise NotImplementedError

    def shows_people(self, name: str) -> bool:
        """Whether the picture's labels speak of somebody, told without reading it."""
        return False

    def is_labelled(self, name: str) -> bool:
        """Whether the picture may have a truth, told without reading it."""
        return True

    def is_measured(self, name: str) -> bool:
        return self.split(name) in self.measured
