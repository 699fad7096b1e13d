# SPDX-License-Identifier: Apache-2.0
"""A ROS graph that nobody else is in: a domain of its own, within this machine.

Two things keep it apart. A *domain* that nobody on this machine uses, claimed for as long as the
claim is held; and *loopback* transports, which no other machine and no container hears. Whoever
starts a node for its own purposes (replay, demo, bench, the tests) does so in such a graph: it must
not hear a robot's camera, and a robot must not take a recording for its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

# Highest first: people choose low ones. Above 101 the ports lie where Linux takes ports for
# outgoing connections (https://docs.ros.org/en/rolling/Concepts/Intermediate/About-Domain-ID.html).
DOMAINS = range(101, 0, -1)
MAX_DOMAIN = 232
PROFILE = Path(__file__).with_name('loopback.xml')
# Where Fast DDS looks for its profiles: since 3.0, which came with rclpy 9 (Kilted), and before.
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


class DomainTaken(ValueError):
    """There is no domain to have, or not the one asked for. One line, with the way out."""


def discovery_port(domain: int) -> int:
    """The UDP port on which every participant of a domain listens (DDS-RTPS 2.5, 9.6.2.3)."""
    return 7400 + 250 * domain


def claim_domain(wanted: int | None = None) -> tuple[int, socket.socket]:
    """A ROS domain that is ours until the socket returned with it is closed, or this process ends.

    Without `wanted`: one that nobody on this machine uses, ours or not. `wanted` may have others
    in it, but no other claim. The claim is the name of a socket: the kernel gives it back however
    we end, it holds for every user of this network namespace, as the domain's ports do, and leaves
    no file. Raises DomainTaken.
    """
    for domain in DOMAINS if wanted is None else [wanted]:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f'\0diception_ros/domain/{domain}')
            if wanted is None:
                # Fails where anybody listens, who shares the port only with those who share it too.
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(('', discovery_port(domain)))
            return domain, claim
        except OSError:
            claim.close()
    if wanted is not None:
        raise DomainTaken(
            f'ROS_DOMAIN_ID={wanted}: another run of diception is on this domain: wait for it, or '
            'unset ROS_DOMAIN_ID, and every run gets a domain of its own'
        )
    raise DomainTaken(
        f'all ROS domains from {DOMAINS[-1]} to {DOMAINS[0]} are in use on this machine: end what '
        'you do not need, or choose one with ROS_DOMAIN_ID'
    )


def loopback_environment() -> dict[str, str | None]:
    """Environment variables (None: not set) under which nodes talk within this machine only.

    Fast DDS by PROFILE, unless the user names profiles of their own; other middlewares by
    ROS_AUTOMATIC_DISCOVERY_RANGE. Fast DDS must not have both: limited that way it sends over its
    default transports, which lose large images (5 of 100 of 1280x720 arrived).
    Nor a discovery server, which PROFILE cannot reach.
    """
    if not (os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps').startswith('rmw_fastrtps'):
        return {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    given = any(map(os.environ.get, PROFILE_VARIABLES))
    return {**({} if given else {_profile_variable(): str(PROFILE)}),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': None, 'ROS_LOCALHOST_ONLY': None,
            'ROS_DISCOVERY_SERVER': None}


def _profile_variable() -> str:
    try:
        old = int(metadata.version('rclpy').partition('.')[0]) < 9
    except metadata.PackageNotFoundError:
        old = False
    return PROFILE_VARIABLES[old]


def set_environment(variables: dict[str, str | None]) -> dict[str, str | None]:
    """Set variables of this process's environment (None: unset); what they were before."""
    before = {name: os.environ.get(name) for name in variables}
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before


def wanted_domain() -> int | None:
    """The domain that the user chose with ROS_DOMAIN_ID, or None. Raises DomainTaken."""
    text = os.environ.get('ROS_DOMAIN_ID', '').strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) > MAX_DOMAIN:
        raise DomainTaken(f'ROS_DOMAIN_ID={text}: a whole number from 0 to {MAX_DOMAIN}, or unset')
    return int(text)


@contextlib.contextmanager
def own_graph() -> Iterator[int]:
    """What this process and its children start in this block has a ROS graph of its own.

    Yields its domain: the one of ROS_DOMAIN_ID where the user set it. Raises DomainTaken.
    """
    domain, claim = claim_domain(wanted_domain())
    before = set_environment({**loopback_environment(), 'ROS_DOMAIN_ID': str(domain)})
    try:
        yield domain
    finally:
        set_environment(before)
        claim.close()
