# SPDX-License-Identifier: Apache-2.0
"""One topic that the node publishes: reliable, overridable, silent while the node is inactive."""

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind

OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
               QoSPolicyKind.DURABILITY)


class Topic:
    """A lifecycle publisher that knows whether anybody wants its messages."""

    def __init__(self, node, message_type, name, latched=False):
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        # Depth 1: a slow consumer gets the newest result, not a history of old ones. In a replay
        # every result counts.
        depth = 1 if node.settings['drop_frames'] else 10
        qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
        self._node = node
        self._publisher = node.create_lifecycle_publisher(
            message_type, name, qos, qos_overriding_options=QoSOverridingOptions(OVERRIDABLE),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=self._incompatible))
        if node.active:
            self._publisher.on_activate(None)

    @property
    def wanted(self):
        """Whether to make messages for this topic: somebody listens, or the node is not lazy."""
        if not self._publisher.is_activated:
            return False
        return not self._node.settings['lazy'] or self._publisher.get_subscription_count() > 0

    @property
    def listeners(self):
        """How many subscribe to the topic."""
        return self._publisher.get_subscription_count()

    def publish(self, message):
        """Publish, unless the node is inactive."""
        self._publisher.publish(message)

    def _incompatible(self, event):
        policy = qos_policy_name_from_kind(event.last_policy_kind).split('_QOS')[0].lower()
        name = self._publisher.topic_name
        self._node.health.warn(
            f'qos {name}', f'a subscriber of {name} asks for another {policy} than offered and '
            'gets nothing: change its QoS, or set the parameter '
            f'qos_overrides.{name}.publisher.{policy}')
