# SPDX-License-Identifier: Apache-2.0
"""The story of one frame: message -> picture -> model -> results -> messages."""

import gc
import time

from diception_ros.results import Perception
from diception_ros.ros import images
from diception_ros.ros.answer import Answer
from diception_ros.ros.memory import give_back_freed_memory
from diception_ros.ros.parameters import settings_from, steps_and_guidance
from diception_ros.tasks import task_class
from diception_ros.tasks.instance_tracker import InstanceTracker


class Perceiver:
    """Answers frames with the model; everything but the constructor runs on the worker's thread.

    node gives settings, health, clicks, inputs, outputs and generation (see node.py).
    """

    def __init__(self, node):
        self._node = node
        self.pipe = None
        self._tracker = InstanceTracker()

    def load(self, settings, report):
        """Load the model and warm it up for these settings.

        report(what, done): told what is being done and how much of it is, 0..1. Raises ModelError
        or another ValueError, one line.
        """
        from diception_ros.model import DiceptionPipeline  # imports torch, which takes seconds
        self.free()
        quantize = settings['quantize']
        pipe = DiceptionPipeline.from_pretrained(
            settings['model'], device=settings['device'], dtype=settings['dtype'],
            compile=settings['compile'], quantize=None if quantize == 'none' else quantize,
            decoding=settings['decoding'], report=report)
        settings = settings_from(settings, pipe.tasks)  # before the warm-up, which may take minutes
        if settings['tasks']:
            steps, guidance = steps_and_guidance(settings, settings['tasks'])
            pipe.warm_up(settings['tasks'], num_inference_steps=steps or None,
                         guidance_scale=guidance or None, report=report)
        self.pipe = pipe
        self._tracker = InstanceTracker()
        give_back_freed_memory()

    def free(self):
        """Let go of the model and its memory."""
        pipe, self.pipe = self.pipe, None
        if pipe is not None:
            pipe.close()
        del pipe
        gc.collect()
        give_back_freed_memory()

    def answer(self, frame):
        """Answer one frame: all results of it, or an exception."""
        node, message = self._node, frame.message
        settings = node.settings

        # 1. What does anybody want to know? Nothing: the frame costs nothing
        needs = node.outputs.needs(settings)
        wanted = set().union(*needs.values())
        tasks = [task for task in settings['tasks'] if task in wanted]
        node.outputs.mention_what_is_off(wanted, settings)
        asked = wanted or node.outputs.wanted()
        if not asked or frame.generation != node.generation or self.pipe is None:
            node.health.count('unasked')
            return
        clock = _Stages(frame.arrived)

        # 2. Message to picture
        try:
            rgb = node.inputs.to_rgb(message, settings)       # uint8 (H, W, 3)
        except images.ImageError as error:
            node.inputs.refuse_image(error)
            return
        height, width = rgb.shape[:2]
        camera, camera_info = node.inputs.camera_for(message.header, width, height, settings)
        points = node.clicks.on_picture(rgb, message.header, camera, settings['points.mode'],
                                        settings['points.fixed_frame'])
        if not points:
            tasks = [task for task in tasks if not task_class(task).needs_points]
        clock.mark('convert')

        # 3. The model; 4. results to messages, on another thread while the next result is read
        publication = node.outputs.publication(needs, tasks)

        def ready(name, perception):
            if name == 'entities':
                perception.entities = self._tracker.update(perception.entities)
            if publication.answer is None:
                publication.answer = Answer(
                    rgb, perception, settings, points, message.header, camera, camera_info,
                    node.inputs.reference_for(message.header, camera, settings), node.health,
                    node.inputs.gravity_for(message.header, settings))
            if frame.generation == node.generation:  # unless the node was deactivated meanwhile
                publication.go_on(name)

        stages = {}
        try:
            if tasks:
                steps, guidance = steps_and_guidance(settings, tasks)
                self.pipe(rgb, tasks,
                          [(_normalised(x, width), _normalised(y, height)) for x, y in points],
                          num_inference_steps=steps or None, guidance_scale=guidance or None,
                          seed=settings['seed'], timings=stages, ready=ready)
            else:
                ready(None, Perception())
            clock.mark('infer')
            clock.move('infer', 'decode', stages.get('decode_results', 0.0))
        finally:
            publication.finish()
        node.clicks.note_disparity(publication.answer.perception.depth)
        clock.mark('publish')
        if frame.generation == node.generation:
            node.frame_answered(clock.finish())


def _normalised(pixel, size):
    """Return a pixel coordinate as a fraction of the picture: its first pixel's left edge is 0."""
    return min(max((pixel + 0.5) / size, 0.0), 1.0)


class _Stages:
    """Milliseconds by stage, the first of which is the wait since `arrived`."""

    def __init__(self, arrived):
        self._arrived = arrived
        self._last = time.monotonic()
        self.spent = {'wait': 1e3 * (self._last - arrived)}

    def mark(self, stage):
        now = time.monotonic()
        self.spent[stage] = 1e3 * (now - self._last)
        self._last = now

    def move(self, source, target, milliseconds):
        self.spent[source] -= milliseconds
        self.spent[target] = milliseconds

    def finish(self):
        self.spent['total'] = 1e3 * (self._last - self._arrived)
        return self.spent
