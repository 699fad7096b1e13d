# SPDX-License-Identifier: Apache-2.0
"""`diception doctor`: are the model, the device, ROS and its transports fit? One line each."""
from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

GOOD, NOTE, BAD = 'ok', 'note', 'BAD'
Finding = tuple[str, str, str]                # GOOD, NOTE or BAD; what; how it is, and the way out


def doctor(
    model: Annotated[str, typer.Argument(help='A model directory, or the name of an embedded '
                                         'model.')] = 'nano',
    masks: Annotated[Path | None, typer.Argument(
        help='With --point-order: a directory with images/NAME.jpg and masks/NAME.png, where 0 is '
             'nothing and every other value is one thing.')] = None,
    device: Annotated[str, typer.Option(help='The device that the node is to use.')] = 'cpu',
    point_order: Annotated[bool, typer.Option(
        '--point-order', help='Settle in which order the model stores a point, on MASKS.')] = False,
) -> int:
    """Say whether a model, a device, the ROS environment and the transports are fit, one line each.

    \b
    diception doctor ~/models/diception --device cuda
    diception doctor --point-order ~/models/diception ~/labelled
    """  # noqa: D301
    if point_order:
        if masks is None:
            raise ValueError('--point-order: MASKS is missing; diception doctor --point-order '
                             'MODEL MASKS')
        return settle_point_order(model, masks, device)
    if masks is not None:
        raise ValueError(f'{masks}: only --point-order reads a directory of masks')
    worst = 0
    for state, what, how in examine(model, device):
        print(f'{state:<5} {what:<11} {how}', flush=True)
        worst = max(worst, int(state == BAD))
    return worst


def settle_point_order(model: str, masks: Path, device: str) -> int:
    """Print the mIoU of both orders; 0 if one of them wins."""
    from rich.console import Console
    from rich.progress import Progress

    from diception_ros.model import DiceptionPipeline
    from diception_ros.model.point_order import compare_orders, labelled_pictures
    pairs = labelled_pictures(masks.expanduser())
    pipe = DiceptionPipeline.from_pretrained(model, device=device)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task('clicking', total=len(pairs))
        scores = compare_orders(pipe, pairs, lambda done: progress.update(bar, completed=done))
    written = pipe.config['point_order']
    for order, miou in scores.miou.items():
        print(f'{order}: mIoU {miou:.4f} of {scores.clicks} clicks'
              f'{", as diception.json says" if order == written else ""}')
    if scores.better is None:
        print('undecided: the difference is too small; give more or other pictures')
        return 1
    print(f'{scores.better} is right' if scores.better == written else
          f'{scores.better} is right: set "point_order": "{scores.better}" in '
          f'{Path(model) / "diception.json"}')
    return 0


def examine(model: str, device: str) -> Iterator[Finding]:
    """All findings, as soon as they are made."""
    yield GOOD, 'python', f'{platform.python_version()}, {sys.executable}'
    yield from examine_device(device)
    yield from examine_model(model, device)
    yield from examine_ros()


def examine_device(device: str) -> Iterator[Finding]:
    """PyTorch, the device asked for, and what would make it faster."""
    try:
        import torch
    except ImportError as error:
        yield BAD, 'torch', f'cannot be imported ({error}); pip install torch'
        return
    yield GOOD, 'torch', f'{torch.__version__}, {torch.get_num_threads()} threads'
    from diception_ros.model.pipeline import resolve_device
    try:
        where = resolve_device(device)
    except ValueError as error:
        yield BAD, 'device', str(error)
        return
    if where.type == 'cuda':
        free, total = torch.cuda.mem_get_info(where)
        yield GOOD, 'device', (f'{torch.cuda.get_device_name(where)}, {free / 2 ** 30:.1f} of '
                               f'{total / 2 ** 30:.1f} GiB free')
    elif torch.cuda.is_available():
        yield NOTE, 'device', f'cpu, but there is a {torch.cuda.get_device_name()}: --device cuda'
    else:
        yield GOOD, 'device', f'cpu, {os.cpu_count()} processors; no CUDA device'
    for name, use in (('torchao', 'quantize: int8'), ('triton', 'compile on a GPU')):
        if importlib.util.find_spec(name) is None and where.type == 'cuda':
            yield NOTE, name, f'not installed; {use} needs it: pip install {name}'


def examine_model(model: str, device: str) -> Iterator[Finding]:
    """Does the model load, and how long does a frame take?"""
    try:
        from diception_ros.model import DiceptionPipeline
        pipe = DiceptionPipeline.from_pretrained(model, device=device)
    except (ValueError, OSError, ImportError) as error:
        yield BAD, 'model', ' '.join(str(error).split())
        return
    width, height = pipe.resolution
    tasks = [name for name in pipe.tasks if not name.startswith('semantic:')]
    held = sum(pipe.memory().values())
    yield GOOD, 'model', (f'{pipe.config.get("name", model)}: {width}x{height}, {held / 1e6:.1f} '
                          f'MB, {", ".join(tasks)}, {len(pipe.categories)} categories')
    try:
        timings: dict[str, float] = {}
        pipe.warm_up(pipe.tasks[:1])
        import numpy as np
        points = [(0.5, 0.5)] if pipe.config['max_points'] else ()
        pipe(np.full((480, 640, 3), 128, np.uint8), pipe.tasks[:1], points, timings=timings)
    except Exception as error:                # out of memory, a driver: whatever it is, tell it
        yield BAD, 'inference', (f'{" ".join(str(error).split())[:200]}; a smaller dtype, or '
                                 "decoding 'tiles', takes less memory")
        return
    finally:
        pipe.close()
    took = sum(timings.values())
    yield GOOD, 'inference', f'{pipe.tasks[0]} of a 640x480 picture in {took:.0f} ms'


def examine_ros() -> Iterator[Finding]:
    """rclpy, the messages, the middleware, and whether a picture gets through it."""
    try:
        import rclpy
        from rclpy.utilities import get_rmw_implementation_identifier
        from sensor_msgs.msg import Image  # noqa: F401
    except ImportError as error:
        yield BAD, 'ros', f'{error}; source a ROS 2 installation, or run `make venv`'
        return
    distribution = os.environ.get('ROS_DISTRO', 'not sourced')
    yield GOOD, 'ros', (f'{distribution}, domain {os.environ.get("ROS_DOMAIN_ID", "0")}, '
                        f'{Path(rclpy.__file__).parent}')
    try:
        from diception_ros.msg import PoseKeypoints  # noqa: F401
        yield GOOD, 'messages', 'diception_ros.msg is built'
    except ImportError as error:
        yield BAD, 'messages', f'{error}; build the package: pip install . or colcon build'
    for name, use in (('tf2_ros', '3-D clicks and lidar clouds of other frames'),
                      ('cv_bridge', 'rare image encodings')):
        if importlib.util.find_spec(name) is None:
            yield NOTE, name, f'not installed; {use} need it'
    try:
        identifier = get_rmw_implementation_identifier()
        took = picture_through_the_graph()
    except Exception as error:                # a middleware fails in its own ways: tell them
        yield BAD, 'transport', f'{" ".join(str(error).split())[:200]}; check RMW_IMPLEMENTATION'
        return
    if took is None:
        yield BAD, 'transport', (f'{identifier}: a picture sent was not received within 10 s; '
                                 'check ROS_DOMAIN_ID, ROS_LOCALHOST_ONLY and the firewall')
    else:
        yield GOOD, 'transport', f'{identifier}: a 640x480 picture arrives after {took:.0f} ms'
    yield from examine_host()


def examine_host() -> Iterator[Finding]:
    """What of the operating system pictures on DDS depend on."""
    if os.environ.get('ROS_LOCALHOST_ONLY') == '1' or (
            os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'LOCALHOST'):
        yield NOTE, 'discovery', 'this machine only, as the environment says'
    buffer = Path('/proc/sys/net/core/rmem_max')
    if buffer.is_file() and int(buffer.read_text()) < 2 ** 21:
        yield NOTE, 'rmem_max', (f'{int(buffer.read_text())} bytes: large pictures from other '
                                 'machines may be lost; sudo sysctl -w net.core.rmem_max=8388608')
    shared = Path('/dev/shm')
    if not (shared.is_dir() and os.access(shared, os.W_OK)):
        yield NOTE, '/dev/shm', 'not writable: pictures travel over UDP, which is slower'
    elif shutil.disk_usage(shared).free < 2 ** 26:
        yield NOTE, '/dev/shm', 'less than 64 MB free: enlarge it (docker run --shm-size 512m)'


def picture_through_the_graph(patience: float = 10.0) -> float | None:
    """Send a 640x480 picture to ourselves; milliseconds until it arrived, None if it did not."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node('diception_doctor', context=context)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        topic, arrived = f'diception_doctor_{os.getpid()}', []
        node.create_subscription(Image, topic, lambda _: arrived.append(time.perf_counter()),
                                 qos_profile_sensor_data)
        publisher = node.create_publisher(Image, topic, 1)
        picture = Image(height=480, width=640, encoding='rgb8', step=1920, data=bytes(921600))
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            sent = time.perf_counter()
            publisher.publish(picture)
            again = time.monotonic() + 0.5
            while not arrived and time.monotonic() < again:
                executor.spin_once(timeout_sec=0.1)
            if arrived:
                return 1000 * (arrived[0] - sent)
        return None
    finally:
        rclpy.shutdown(context=context)
