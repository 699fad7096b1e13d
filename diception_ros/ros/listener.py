# SPDX-License-Identifier: Apache-2.0
"""One topic that the node listens to: sensor-data QoS, overridable, and what was latched before."""

import time

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind

OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
               QoSPolicyKind.DURABILITY)


class Listener:
    """A subscription to a topic by `name` that also gets what was latched before it was there.

    A volatile subscription hears every publisher, but nothing from before; a transient-local one
    gets that, but hears no volatile publisher at all, which most drivers are. So there is a
    volatile one all the time, and for every publisher that latches a second one until it has
    delivered. Where the user sets qos_overrides.<topic>.subscription.durability there is only that.

    callback(message): messages have a header where latched is True. `heard`: time.monotonic() of
    the last message, None before; `count`: how many there were.
    """

    def __init__(self, node, message_type, name, callback, depth=1, reliable=False, latched=True):
        self.topic, self.heard, self.count = node.resolve_topic_name(name), None, 0
        self._node, self._type, self._name, self._callback = node, message_type, name, callback
        self._prefix = f'qos_overrides.{self.topic}.subscription.'
        self._follows = latched and f'{self._prefix}durability' not in node._parameter_overrides
        self._latest = None                          # header of the last message
        self._known = set()                          # publishers whose history was asked for
        self._history, self._opened = None, 0.0      # the second subscription, and since when
        # Sensor-data QoS: it takes what reliable and best-effort publishers alike offer.
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=depth,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)
        self._subscription = node.create_subscription(
            message_type, name, self._on_message, qos,
            qos_overriding_options=QoSOverridingOptions(self._overridable()),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible))
        self.follow()

    def destroy(self):
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)
        self._close_history()

    def publishers(self):
        """Return what the graph tells of those who publish on the topic, of whatever type."""
        return self._node.get_publishers_info_by_topic(self.topic)

    def own_type(self):
        """Return the type that is listened to, as the graph names it: sensor_msgs/msg/Image."""
        package, kind = self._type.__module__.split('.')[0], self._type.__name__
        return f'{package}/msg/{kind}'

    def latching(self):
        """Return those of the publishers that latch what they publish."""
        return [info for info in self.publishers() if info.topic_type == self.own_type()
                and info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL]

    def incompatible(self, info):
        """Return why a publisher is not heard because of its QoS, '' if that is not the reason."""
        verdict, reason = qos_check_compatible(info.qos_profile, self._subscription.qos_profile)
        return reason if verdict == QoSCompatibility.ERROR else ''

    def follow(self):
        """Ask publishers that have come and latch for what they published before; call it often."""
        if self._history is not None and self._opened is None:
            self._close_history()
        if not self._follows:
            return
        latching = {bytes(info.endpoint_gid) for info in self.latching()}
        new, self._known = latching - self._known, latching
        if new and self._history is None:
            self._opened = time.monotonic()
            self._history = self._node.create_subscription(
                self._type, self._name, self._on_latched,
                QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                           durability=DurabilityPolicy.TRANSIENT_LOCAL),
                # A volatile publisher beside it does not match, and is heard all the same.
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))

    def _close_history(self):
        if self._history is not None:
            self._node.destroy_subscription(self._history)
            self._history = None

    def _on_message(self, message):
        # What was latched may come both ways.
        if self._history is None or message.header != self._latest:
            self._take(message)

    def _on_latched(self, message):
        if self._opened is None:
            return
        newer = self.heard is not None and self.heard > self._opened
        self._opened = None  # delivered: closed by `follow`, not inside of its own callback
        if not newer and message.header != self._latest:
            self._take(message)

    def _take(self, message):
        self._latest = getattr(message, 'header', None)
        self.heard, self.count = time.monotonic(), self.count + 1
        self._callback(message)

    def _on_incompatible(self, event):
        policy = qos_policy_name_from_kind(event.last_policy_kind).split('_QOS')[0].lower()
        self._node.health.warn(
            f'qos {self.topic}', f'a publisher of {self.topic} offers another {policy} than asked '
            f'for and is not heard: change its QoS, or set the parameter {self._prefix}{policy}')

    def _overridable(self):
        """Return the QoS policies that parameters decide: all at first, then what the user set.

        rclpy keeps the defaults of the first subscription as parameters; drop_frames may want
        others for the next one.
        """
        return [policy for policy in OVERRIDABLE
                if not self._node.has_parameter(self._prefix + policy.name.lower())
                or self._prefix + policy.name.lower() in self._node._parameter_overrides]
