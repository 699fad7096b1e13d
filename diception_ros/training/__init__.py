# SPDX-License-Identifier: Apache-2.0
"""Training the default model, and measuring any model: losses, loop, evaluation."""
