# SPDX-License-Identifier: Apache-2.0
"""The node `diception`: a managed (lifecycle) node around one model. Wiring only; see ros/."""

import faulthandler
import os
import signal
import sys
import traceback
from concurrent.futures import wait

if os.path.basename(sys.argv[0]) == 'diception_node':
    # Ctrl-C during the imports below ends the process at once, in silence.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, Trigger

from diception_ros.errors import with_type
from diception_ros.ros import parameters
from diception_ros.ros.clicks import Clicks
from diception_ros.ros.diagnostics import Health, resident_bytes
from diception_ros.ros.ending import end_soon
from diception_ros.ros.images import silence_opencv
from diception_ros.ros.inputs import Inputs
from diception_ros.ros.memory import keep_freed_memory
from diception_ros.ros.outputs import Outputs
from diception_ros.ros.perception import Perceiver
from diception_ros.ros.transforms import Transforms
from diception_ros.ros.worker import Worker

# Where a node stands still; in every other state a transition is under way.
PRIMARY_STATES = (State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE,
                  State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_FINALIZED)
TRANSITIONS = {Transition.TRANSITION_CONFIGURE: 'configure',
               Transition.TRANSITION_CLEANUP: 'cleanup',
               Transition.TRANSITION_ACTIVATE: 'activate',
               Transition.TRANSITION_DEACTIVATE: 'deactivate'}


class DiceptionNode(LifecycleNode):
    """configure = load, warm up; activate = subscribe; deactivate = unsubscribe; cleanup = free."""

    def __init__(self, **options):
        # For one executor with one thread: a callback begins within another only where that one
        # waits for the worker (on_worker).
        self._callback_group = ReentrantCallbackGroup()
        super().__init__('diception', **options)
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self.change_state
        self.settings = parameters.declare(self)
        self.active, self.enabled, self.generation = False, True, 0
        self.health = Health(self.get_logger(), alive=self.context.ok)
        self.transforms = Transforms(self)
        self.clicks = Clicks(self.health.warn, self.transforms)
        self.inputs = Inputs(self)
        self.outputs = Outputs(self)
        self.perceiver = Perceiver(self)
        self.worker = Worker(self.perceiver.answer, self.frame_failed)
        self.add_on_set_parameters_callback(self.check_parameters)
        self.add_post_set_parameters_callback(self.apply_parameters)
        self.create_service(Trigger, '~/clear_points', self.clear_points)
        self.create_service(Trigger, '~/undo_point', self.undo_point)
        self.create_service(SetBool, '~/enable', self.enable)
        self.latency = self.create_publisher(Float64, '~/debug/latency_ms', 10)
        self.diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Not the node's clock: with use_sim_time and no /clock the reports would stop.
        self.create_timer(1.0, self.every_second, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def default_callback_group(self):
        """The group of all callbacks, rclpy's own among them."""
        return self._callback_group

    def destroy_node(self):
        super().destroy_node()
        # rclpy forgets it, and the middleware's shared memory would outlive the process.
        self._state_machine.destroy_when_not_in_use()

    @property
    def state(self):
        """The lifecycle state's label."""
        return self._state_machine.current_state[1]

    @property
    def point_capacity(self):
        """How many points the model takes."""
        pipe = self.perceiver.pipe
        return 5 if pipe is None else pipe.config['max_points']

    # ---- lifecycle

    def on_configure(self, state):
        loaded = self.settings
        self.health.begin_job(f"loading model '{loaded['model']}' on {loaded['device']}")
        try:
            self.on_worker(self.perceiver.load, loaded, self.health.job_progress)
            # Again: they may have changed meanwhile.
            settings = parameters.settings_from(self.settings, self.perceiver.pipe.tasks)
        except Exception as error:
            self.refuse(f'cannot configure: {with_type(error)}')
            self.on_worker(self.perceiver.free)
            return TransitionCallbackReturn.FAILURE
        finally:
            self.health.end_job()
        self.health.blocked = ''
        self.health.say_again()
        self.outputs.prepare(settings)
        self.inputs.prepare(settings)
        self.health.tell(f"configured: model '{settings['model']}' on {settings['device']}, "
                         f'tasks {", ".join(settings["tasks"])}')
        return super().on_configure(state)

    def on_activate(self, state):
        queue = self.settings['queue_size'] if not self.settings['drop_frames'] else 1
        self.worker.frames.set_capacity(queue)
        try:
            self.inputs.subscribe()
        except Exception as error:  # rclpy would swallow it; a QoS override that cannot be
            self.refuse(f'cannot activate: {with_type(error)}')
            self.inputs.unsubscribe()
            return TransitionCallbackReturn.FAILURE
        self.health.blocked = ''
        self.health.say_again()
        self.active = True
        return super().on_activate(state)

    def on_deactivate(self, state):
        self.active = False
        self.generation += 1  # what is under way now will not be published
        self.inputs.unsubscribe()
        self.worker.frames.clear()
        self.clicks.clear()
        return super().on_deactivate(state)

    def on_cleanup(self, state):
        self.on_worker(self.perceiver.free)
        return super().on_cleanup(state)

    def on_shutdown(self, state):
        if self.active:
            self.on_deactivate(state)
        self.on_worker(self.perceiver.free)
        return super().on_shutdown(state)

    def refuse(self, reason):
        """Say why a transition cannot be; diagnostics stay at ERROR until one succeeds."""
        self.health.blocked = reason
        self.health.error(None, reason)

    def change_state(self, request, response):
        """Answer the service ~/change_state: as rclpy does, but not within another transition."""
        if self._state_machine.current_state[0] in PRIMARY_STATES:
            return self._change_state(request, response)
        asked = request.transition.label or TRANSITIONS.get(request.transition.id, 'shutdown')
        progress = self.health.progress
        self.health.warn('change_state', f'cannot {asked}: the node is {self.state}'
                         f'{progress and f", {progress}"}: ask again when it is done')
        response.success = False
        return response

    def on_worker(self, function, *arguments):
        """Run a job on the worker's thread; until it is done, everything else is answered.

        The executor goes on within the callback that waits here. Nobody waits longer than ROS
        lives.
        """
        self.worker.start()  # unless it is there
        future, executor = self.worker.call(function, *arguments), self.executor
        if executor is not None:
            future.add_done_callback(lambda _: executor.wake())
        while not future.done():
            if not self.context.ok():
                # Not an Exception: rclpy would catch it and go on with a dead context.
                raise KeyboardInterrupt
            if executor is None:
                wait([future], 0.1)
                continue
            try:
                executor.spin_once(0.1)
            except ExternalShutdownException:
                pass
            except Exception as error:
                self.callback_failed(error)
        return future.result()

    def callback_failed(self, error):
        """Say that a callback raised; the node lives on."""
        self.health.error(f'callback {type(error).__name__}',
                          f'a callback failed: {with_type(error)}')
        self.get_logger().debug(traceback.format_exc())

    # ---- parameters

    def check_parameters(self, changed):
        try:
            for parameter in changed:
                if parameter.name in parameters.BY_NAME:
                    parameters.check_state(parameter.name, self.state)
            self.settings_with(changed)
        except parameters.ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def apply_parameters(self, changed):
        self.settings = self.settings_with(changed)
        self.health.say_again()
        self.outputs.prepare(self.settings)
        self.inputs.prepare(self.settings)

    def settings_with(self, changed):
        known = {p.name: p.value for p in changed if p.name in parameters.BY_NAME}
        pipe = self.perceiver.pipe
        return parameters.settings_from({**self.settings, **known}, pipe and pipe.tasks)

    # ---- frames

    def frame_answered(self, milliseconds):
        self.health.frame_answered(milliseconds)
        self.latency.publish(Float64(data=milliseconds['total']))

    def frame_failed(self, error):
        self.health.count('failed')
        cure = ''
        if 'out of memory' in str(error) or isinstance(error, MemoryError):
            cure = ': run fewer tasks, or set decoding to slices or tiles'
        self.health.error(f'frame {type(error).__name__}',
                          f'a frame failed: {with_type(error)}{cure}')

    def every_second(self):
        if self.active and not self.worker.alive:
            self.health.error('worker', 'the worker thread died; it is started again')
            self.worker.start()
        self.inputs.every_second()
        self.health.tell_progress()
        facts = {'model': self.settings['model'], 'device': self.settings['device'],
                 'enabled': self.enabled, 'busy seconds': f'{self.worker.busy_seconds:.1f}',
                 'memory of the process MiB': resident_bytes() >> 20}
        pipe = self.perceiver.pipe
        if pipe is not None:
            facts |= {f'memory of {part} MiB': f'{size / 2**20:.1f}'
                      for part, size in pipe.memory().items()}
        self.diagnostics.publish(self.health.report(
            self.get_clock().now().to_msg(), self.get_fully_qualified_name().lstrip('/'),
            self.state, facts, len(self.worker.frames)))

    # ---- services

    def clear_points(self, request, response):
        response.success, response.message = True, f'{self.clicks.clear()} points cleared'
        return response

    def undo_point(self, request, response):
        response.success = self.clicks.undo()
        response.message = f'{len(self.clicks)} points left'
        return response

    def enable(self, request, response):
        self.enabled = request.data
        if not self.enabled:
            self.worker.frames.clear()
        response.success, response.message = True, 'enabled' if self.enabled else 'disabled'
        return response


def main():
    """Run the node until it is told to stop, and end the process: status 2 for bad parameters."""
    # rclpy ends the context at SIGINT and SIGTERM; Python's KeyboardInterrupt on top of that would
    # come anywhere, also while the node is being taken down.
    signal.signal(signal.SIGINT, lambda *_: None)
    faulthandler.register(signal.SIGUSR1)  # kill -USR1 shows what every thread is doing
    silence_opencv()
    keep_freed_memory()
    status, alive = 0, False
    try:
        rclpy.init()
        alive = True
        run(DiceptionNode())
    except Exception as error:
        # RuntimeError: rcl's own words about a parameter file or an argument that it cannot read.
        if alive and not rclpy.ok():
            pass  # told to stop: whatever was under way failed for want of a context
        elif isinstance(error, (parameters.ParameterError, RuntimeError)):
            rclpy.logging.get_logger('diception').fatal(with_type(error))
            status = 2
        else:
            raise
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking down torch's modules one by one takes seconds, and a frame may still be computed.
    os._exit(status)


def run(node):
    """Configure and activate the node if it is to do so by itself, and spin it to the end."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.settings['autostart']:
            if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
                node.trigger_activate()
        else:
            node.health.tell('unconfigured: ros2 lifecycle set it to configure, then activate')
        while node.context.ok():
            try:
                executor.spin()
            except Exception as error:
                if isinstance(error, ExternalShutdownException):
                    break
                node.callback_failed(error)
    except KeyboardInterrupt:
        pass  # on_worker's, while a model was loaded
    node.worker.stop(0.2)
    end_soon()
    executor.shutdown()
    node.destroy_node()


if __name__ == '__main__':
    main()
