# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the device."""

import queue
import threading

import pytest

from diception_ros.ros.worker import Worker, WorkerDied


@pytest.fixture
def workers():
    made = []

    def make(process, failed=lambda error: None):
        made.append(Worker(process, failed))
        return made[-1]

    yield make
    for worker in made:
        worker.stop(1)


def test_jobs_and_frames_run_on_one_thread_that_is_not_ours(workers):
    seen = queue.Queue()
    worker = workers(lambda frame: seen.put((frame, threading.get_ident())))
    loader = worker.call(threading.get_ident).result(5)
    worker.offer('frame')
    frame, thread = seen.get(timeout=5)
    assert frame == 'frame' and thread == loader != threading.get_ident()


def test_while_a_frame_is_answered_the_newest_of_the_others_waits(workers):
    started, go, seen = threading.Event(), threading.Event(), queue.Queue()

    def process(frame):
        started.set()
        go.wait(5)
        seen.put(frame)

    worker = workers(process)
    worker.offer(0)
    started.wait(5)
    assert [worker.offer(number) for number in (1, 2, 3)] == [0, 1, 1]
    go.set()
    assert [seen.get(timeout=5), seen.get(timeout=5)] == [0, 3]


def test_a_frame_that_raises_is_reported_and_the_next_is_answered(workers):
    seen, errors = queue.Queue(), queue.Queue()

    def process(frame):
        if frame == 'bad':
            raise MemoryError('CUDA out of memory')
        seen.put(frame)

    worker = workers(process, errors.put)
    worker.offer('bad')
    assert isinstance(errors.get(timeout=5), MemoryError)
    worker.offer('good')
    assert seen.get(timeout=5) == 'good'


def test_a_job_that_raises_hands_its_error_to_the_caller(workers):
    worker = workers(print)
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0).result(5)
    assert worker.alive


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_a_thread_that_died_is_started_again_and_its_waiting_jobs_are_told(workers):
    gone = threading.Event()

    def process(frame):
        gone.wait(5)
        raise SystemExit

    worker = workers(process)
    worker.offer('deadly')
    waiting = worker.call(int)
    if not waiting.done():
        gone.set()
    try:
        waiting.result(5)  # taken before the frame
    except WorkerDied:
        pass
    worker._thread.join(5)
    assert not worker.alive
    worker.start()
    assert worker.call(lambda: 'back').result(5) == 'back'


def test_stopping_lets_waiting_frames_go_and_tells_waiting_jobs(workers):
    started, go, seen = threading.Event(), threading.Event(), []

    def process(frame):
        started.set()
        go.wait(5)
        seen.append(frame)

    worker = workers(process)
    worker.offer(1)
    started.wait(5)
    worker.offer(2)
    job = worker.call(int)
    assert not worker.stop(0.05)
    go.set()
    with pytest.raises(WorkerDied):
        job.result(5)
    assert worker.stop(5) and seen == [1]


def test_a_worker_is_busy_from_the_hand_over_of_a_frame_or_a_job_until_it_is_done(workers):
    started, go = threading.Event(), threading.Event()

    def process(frame):
        started.set()
        go.wait(5)

    worker = workers(process)
    assert not worker.busy
    worker.offer('frame')
    assert worker.busy
    started.wait(5)
    worker.offer('next')
    assert worker.busy
    go.set()
    worker.call(lambda: None).result(5)
    while len(worker.frames):  # the job went first
        pass
    assert worker.call(lambda: worker.busy).result(5)
    worker.stop(5)
    assert not worker.busy
