# SPDX-License-Identifier: Apache-2.0
"""How good models, decoders and geometry are, on synthetic scenes and on anybody's data."""
