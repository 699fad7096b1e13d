# SPDX-License-Identifier: Apache-2.0
"""The end of a process: nobody waits longer than a second for the tidying up."""

import faulthandler
import os
import threading


def end_soon(status=0):
    """End the process in a second, whatever it is doing then."""
    threading.Timer(1.0, os._exit, [status]).start()
    # Over TCP (LARGE_DATA), Fast DDS 3.2 may wait for ever for a peer that ends at the same moment
    # (eProsima/Fast-DDS pull request 6066). rclpy holds the interpreter meanwhile, so that no timer
    # of Python's can run; this one does, with the status 1.
    faulthandler.dump_traceback_later(1.3, exit=True, file=open(os.devnull, 'w'))
