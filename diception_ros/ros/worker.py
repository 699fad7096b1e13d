# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the device: it loads the model, answers frames and frees the memory.

Compiled CUDA graphs must run on the thread that captured them, so every device call goes through
here; the executor only hands over frames (`offer`) and jobs (`call`).
"""

import collections
import threading
import time
from concurrent.futures import Future

from diception_ros.ros.frames import FrameBuffer


class WorkerDied(RuntimeError):
    """The thread ended before it did what was asked."""


class Worker:
    """A daemon thread that runs jobs first, then waiting frames, one at a time.

    process(frame) is called for every frame; what it raises goes to failed(error), on the same
    thread. `frames` is the buffer that frames wait in.
    """

    def __init__(self, process, failed):
        self.frames = FrameBuffer()
        self._process = process
        self._failed = failed
        self._condition = threading.Condition()
        self._jobs = collections.deque()
        self._stopping = False
        self._thread = None
        self._began = None                         # time.monotonic() of what is under way
        self.start()

    @property
    def busy_seconds(self):
        """Seconds since what is under way now, a job or a frame, began; 0.0 if nothing is."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    @property
    def alive(self):
        """Whether the thread is there."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def busy(self):
        """Whether a frame or a job is under way, or waits."""
        return self._began is not None or bool(self._jobs) or len(self.frames) > 0

    def start(self):
        """Start the thread, again if it died. What it owned stays in memory and is used further."""
        if not self.alive:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name='diception_worker', daemon=True)
            self._thread.start()

    def offer(self, frame):
        """Hand over a frame; return how many were dropped for it."""
        dropped = self.frames.put(frame)
        with self._condition:
            self._condition.notify()
        time.sleep(0)  # let it begin: the executor would keep the interpreter for another 0.6 ms
        return dropped

    def call(self, function, *arguments):
        """Run function(*arguments) on the thread, before any waiting frame; return its Future."""
        future = Future()
        with self._condition:
            self._jobs.append((future, function, arguments))
            self._condition.notify()
        return future

    def stop(self, timeout):
        """End the thread after what it is doing; return whether it did within `timeout` seconds."""
        self.frames.clear()
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self):
        try:
            while True:
                with self._condition:
                    self._condition.wait_for(
                        lambda: self._jobs or self._stopping or len(self.frames))
                    if self._stopping:
                        return
                    self._began = time.monotonic()
                    job = self._jobs.popleft() if self._jobs else None
                if job is not None:
                    _run_job(*job)
                elif (frame := self.frames.take()) is not None:
                    self._answer(frame)
                self._began = None
        finally:
            self._began = None
            with self._condition:
                orphans, self._jobs = self._jobs, collections.deque()
            for future, _, _ in orphans:
                future.set_exception(WorkerDied('the worker thread ended'))

    def _answer(self, frame):
        try:
            self._process(frame)
        except Exception as error:
            self._failed(error)


def _run_job(future, function, arguments):
    try:
        future.set_result(function(*arguments))
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):
            raise
