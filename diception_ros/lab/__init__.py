# SPDX-License-Identifier: Apache-2.0
"""What makes and measures models, and no robot needs."""
