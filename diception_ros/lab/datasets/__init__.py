# SPDX-License-Identifier: Apache-2.0
"""Real images as training data; the images themselves stay outside the project."""
