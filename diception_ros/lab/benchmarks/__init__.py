# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed: the verbs of `diception bench`, one module each."""
