# SPDX-License-Identifier: Apache-2.0
"""The laboratory: synthetic scenes, training, evaluation, benchmarks. No robot needs it."""
