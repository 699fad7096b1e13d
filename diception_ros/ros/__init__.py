# SPDX-License-Identifier: Apache-2.0
"""Everything that speaks ROS: parameters, images, clicks, frames, the worker, outputs, health."""
