# SPDX-License-Identifier: Apache-2.0
"""What the node knows about itself: rates, latencies by stage, drops, memory, the last error.

`Health` is written by every thread and read once a second by `report`, which makes the message of
/diagnostics. Levels: ERROR = no frame can be answered, or frames fail; WARN = something that the
owner should look at (no images, bad images, a full queue); OK = the rest, also an inactive node.
"""

import collections
import statistics
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

STAGES = ('wait', 'convert', 'infer', 'decode', 'publish', 'total')
RECENT = 5.0  # seconds that a warning or an error colours the status after it happened
PROGRESS_PERIOD = 5.0  # seconds between two lines about a long job in the log


class Health:
    """Counters, latencies and throttled complaints; thread-safe.

    Nothing is said any more once alive() is false: then everything fails, for no other reason.
    throttle: seconds between two lines of one kind, by clock(), seconds.
    """

    def __init__(self, logger, throttle=5.0, alive=lambda: True, clock=time.monotonic):
        self._logger = logger
        self._now = clock
        self._alive = alive
        self._throttle = throttle
        self._lock = threading.Lock()
        self._said = {}                            # key -> (time of the last line, held back since)
        self._spoke = {}                           # level -> (time, text) of the latest complaint
        # received, and their ends: answered, dropped, unusable, failed, unasked (nobody listens)
        self.counts = collections.Counter()
        self._seen = collections.Counter()         # counts at the last report
        self._reported = self._now()
        self._latencies = collections.deque(maxlen=200)   # (time, {stage: ms})
        self._notes = {}
        self._mentioned = set()
        self._job = None                           # (what, done 0..1, when it began) of a long job
        self._job_said = 0.0                       # when the log had a line about it
        self.last_error = ''
        self.blocked = ''                          # why no frame can be answered at all

    def count(self, what, number=1):
        """Add to a counter."""
        with self._lock:
            self.counts[what] += number

    def frame_answered(self, milliseconds):
        """Note the latencies {stage: ms} of a frame."""
        with self._lock:
            self.counts['answered'] += 1
            self._latencies.append((self._now(), milliseconds))

    def note(self, key, value):
        """Keep a value for the report, as it is now."""
        self._notes[key] = value

    def begin_job(self, what):
        """A job begins that may take long: log it, and report it until `end_job`."""
        self.tell(what)
        now = time.monotonic()
        self._job, self._job_said = (what, 0.0, now), now

    def job_progress(self, what, done):
        """What the job does now, and how much of that is done, 0..1."""
        self._job = what, done, self._job[2] if self._job else time.monotonic()

    def end_job(self):
        """The job is over."""
        self._job = None

    @property
    def progress(self):
        """The job that is under way, for eyes; '' if there is none."""
        if self._job is None:
            return ''
        what, done, began = self._job
        return f'{what}: {done:.0%} ({time.monotonic() - began:.0f} s so far)'

    def tell_progress(self):
        """Log how far a long job is, every few seconds; to be called about once a second."""
        now = time.monotonic()
        if self._job is not None and now - self._job_said >= PROGRESS_PERIOD:
            self._job_said = now
            self.tell(self.progress)

    def tell(self, text):
        """Log what happens."""
        if self._alive():
            self._logger.info(text)

    def mention(self, text):
        """Log what is worth knowing, but no fault; every text once."""
        with self._lock:
            known = text in self._mentioned
            self._mentioned.add(text)
        if not known:
            self.tell(text)

    def warn(self, key, text):
        """Log a warning, at most one line per `key` every few seconds."""
        self._complain(DiagnosticStatus.WARN, key, text)

    def error(self, key, text):
        """Log an error and remember it as the last; throttled like `warn` unless key is None."""
        self.last_error = text
        self._complain(DiagnosticStatus.ERROR, key, text)

    def _complain(self, level, key, text):
        if not self._alive():
            return
        now = self._now()
        with self._lock:
            self._spoke[level] = now, text
            last, held_back = self._said.get(key, (-self._throttle, 0))
            if key is not None and now - last < self._throttle:
                self._said[key] = last, held_back + 1
                return
            self._said[key] = now, 0
        if held_back:
            text += f' ({held_back} more like it)'
        # Two calls on two lines: rclpy ties a severity to the line that logs.
        if level == DiagnosticStatus.ERROR:
            self._logger.error(text)
        else:
            self._logger.warning(text)

    def say_again(self):
        """Throttle nothing that was said before, and report none of it: something has changed, and
        whether that was the cure is to be seen at once.
        """
        with self._lock:
            self._said.clear()
            self._spoke.clear()

    def report(self, stamp, name, state, facts, waiting=0):
        """Make the DiagnosticArray of the time since the last report.

        facts: {key: value} to append (model, device, memory). state: lifecycle state's label.
        """
        now = self._now()
        with self._lock:
            seconds = max(now - self._reported, 1e-3)
            rates = {key: (self.counts[key] - self._seen[key]) / seconds
                     for key in ('received', 'answered', 'dropped')}
            self._seen, self._reported = self.counts.copy(), now
            recent = [stages for moment, stages in self._latencies if now - moment < RECENT]
            counts, spoke = dict(self.counts), dict(self._spoke)
        progress = self.progress
        doing = progress or f'{rates["answered"]:.1f} frames/s'
        level, message = DiagnosticStatus.OK, f'{state}, {doing}'
        for severity in (DiagnosticStatus.ERROR, DiagnosticStatus.WARN):
            moment, text = spoke.get(severity, (-RECENT, ''))
            if now - moment < RECENT:
                level, message = severity, text
                break
        if self.blocked:
            level, message = DiagnosticStatus.ERROR, self.blocked
        values = {'state': state, 'progress': progress or 'none',
                  'frames in per second': f'{rates["received"]:.2f}',
                  'frames out per second': f'{rates["answered"]:.2f}',
                  'drops per second': f'{rates["dropped"]:.2f}'}
        for stage in STAGES:
            spent = [stages[stage] for stages in recent if stage in stages]
            if spent:
                values[f'latency {stage} median ms'] = f'{statistics.median(spent):.1f}'
                values[f'latency {stage} max ms'] = f'{max(spent):.1f}'
        for key in ('received', 'answered', 'dropped', 'unusable', 'failed', 'unasked'):
            values[f'frames {key}'] = counts.get(key, 0)
        values['frames waiting'] = waiting
        values['last error'] = self.last_error or 'none'
        values |= {**self._notes, **facts}
        status = DiagnosticStatus(
            level=level, name=name, message=message, hardware_id=str(facts.get('device', '')),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        message = DiagnosticArray(status=[status])
        message.header.stamp = stamp
        return message


def resident_bytes():
    """Return the memory of this process, bytes; 0 where the system does not tell."""
    try:
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0
