# SPDX-License-Identifier: Apache-2.0
"""Training the default model: records, targets, network, loop."""
