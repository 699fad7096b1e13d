# SPDX-License-Identifier: Apache-2.0
"""One parameter of the node: name, default, range, description, and when it may change."""

from dataclasses import dataclass
from typing import Any

ANY_TIME = 'any time'
NOT_ACTIVE = 'while the node is not active'
UNCONFIGURED = 'while the node is unconfigured'
AT_START = 'at the start only'


@dataclass(frozen=True)
class Parameter:
    """One line of the table of parameters. The default's type is the parameter's type."""

    name: str
    default: Any
    description: str
    low: float = None
    high: float = None
    choices: tuple = ()
    when: str = ANY_TIME
