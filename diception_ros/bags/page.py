# SPDX-License-Identifier: Apache-2.0
"""The page that `diception demo` leaves: pictures, latencies and a table, in plain HTML."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import jinja2
import numpy as np

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.judging import (
    Frame,
    TopicReport,
    frames_of,
    judgements,
    latencies_ms,
    mean_of,
    report_topics,
    together,
    truth_of,
)
from diception_ros.bags.live import NAMESPACE
from diception_ros.bags.source import Source
from diception_ros.results import Perception
from diception_ros.tasks import DEFAULT_TASKS, task_named
from diception_ros.tasks.frame import FOR_EYES, FrameResults
from diception_ros.tasks.truth import Truth

SHEET_FRAMES = 4  # frames of the contact sheet


# The tasks that have a place on the page, and their own images by the field of their result.
SHOWN = tuple(task for task in map(task_named, DEFAULT_TASKS) if task.panel)


@dataclass
class Report:
    """What the page says, for the terminal as well."""

    frames: int
    topics: list[TopicReport]
    truth: bool  # whether there was one to compare with

    def table(self):
        """The same table for the terminal."""
        from rich.table import Table

        table = Table(title=f'{self.frames} frames sent')
        table.add_column('output')
        for column in ('answered', 'dropped', 'median ms', '95 % ms'):
            table.add_column(column, justify='right')
        if self.truth:
            table.add_column('against the truth')
        for line in self.topics:
            cells = (line.topic, str(line.answered), str(line.dropped), _number(line.median_ms),
                     _number(line.p95_ms), line.accuracy)
            table.add_row(*cells[:len(table.columns)])
        return table


def _number(value: float) -> str:
    return f'{value:.0f}' if math.isfinite(value) else '-'


def write_page(source: Source, played, out: Path) -> Report:
    """Compare, draw, and write `out`/index.html with its pictures; the report.

    `source` is the bag that was played, `played` what happened (see cli/demo.py); the answers are
    in `out`/outputs.
    """
    stamps = sorted(played.sent)
    overlay = f'{NAMESPACE}/overlay'
    answered = sorted({a.stamp for a in played.arrivals if a.topic == overlay} & set(stamps))
    clicked = _clicks(source, played)
    shown = _spread([s for s in answered if clicked(s) is not None] or answered, SHEET_FRAMES)

    comparisons = judgements(clicked) if source.truth else []
    wanted = {f'{NAMESPACE}/{name}' for name in (
        'overlay', *(task.panel.topic for task in SHOWN), *(one.topic for one in comparisons))}
    folder = out / 'pictures'
    folder.mkdir(exist_ok=True)
    figures: dict[str, list[dict[str, float]]] = {}
    sheet: dict[int, dict[str, str]] = {}
    seen_topics = None if source.truth else {source.image}
    for answers, seen in together(frames_of(out / 'outputs', wanted),
                                  frames_of(source.path, seen_topics)):
        if answers.stamp not in answered:
            continue
        truth = truth_of(seen) if source.truth else None
        for one in comparisons:
            if f'{NAMESPACE}/{one.topic}' in answers:
                figures.setdefault(one.topic, []).append(one.score(answers, truth))
        if answers.stamp in shown:
            sheet[answers.stamp] = _write_pictures(
                folder, source, seen, answers, truth, clicked(answers.stamp))

    accuracy = {one.topic: one.tell(mean) for one in comparisons
                if (mean := mean_of(figures.get(one.topic, [])))}
    report = Report(len(stamps), list(report_topics(source, played, accuracy)), source.truth)
    if sheet:
        poster = _poster(folder, sheet[min(sheet)])
        _write_jpeg(out / 'demo.jpg', poster, 88)
    page = _html(source, played, report, sheet, stamps, out / 'outputs')
    (out / 'index.html').write_text(page, encoding='utf-8')
    return report


def _clicks(source: Source, played):
    """A function: stamp -> the instance that had been clicked when that frame was sent, or None.

    Without a truth any click counts as one of 'something', 0.
    """
    if not played.clicked:
        return lambda stamp: None
    stamps = sorted(played.sent)
    before, (x, y) = played.clicked[0]
    first = stamps[min(before, len(stamps) - 1)]
    label = 0
    if source.truth:
        for frame in frames_of(source.path, {'/truth/entities/labels'}):
            if frame.stamp == first:
                label = int(frame.picture('/truth/entities/labels')[int(y), int(x)])
                break
    return lambda stamp: label if stamp >= first else None


def _spread(items: list, count: int) -> list:
    """`count` items, evenly from first to last."""
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


# --- pictures ---------------------------------------------------------------------------------


def _true_pictures(truth: Truth, clicked: int | None) -> dict[str, np.ndarray]:
    """The truth drawn as the node draws its answers: a task's field -> uint8 RGB (H, W, 3)."""
    perception = Perception()
    for task in SHOWN:
        label = {'label': clicked} if task.needs_points else {}
        perception.pictures[task.name] = task.encode(truth, **label)
        perception.add(task.name, task.ideal(truth, **label))
    frame = FrameResults(truth.rgb, perception, {'tasks': DEFAULT_TASKS, **FOR_EYES}, [])
    return {task.field: task.color(getattr(perception, task.field), frame) for task in SHOWN}


def _camera_picture(source: Source, seen: Frame) -> np.ndarray:
    """The camera's picture, uint8 RGB, whatever its encoding."""
    message = seen.message(source.image)
    if source.compressed:
        return cv2.imdecode(message.data, cv2.IMREAD_COLOR)[..., ::-1]
    if message.encoding == 'rgb8' and message.step == 3 * message.width:
        return message.data.reshape(message.height, message.width, 3)
    from diception_ros.bags.live import message_class
    from diception_ros.ros import images

    return images.to_rgb(message_class('sensor_msgs/msg/Image')(
        height=message.height, width=message.width, encoding=message.encoding, step=message.step,
        is_bigendian=message.is_bigendian, data=message.data.tobytes(),
    ))


def _save(folder: Path, name: str, rgb: np.ndarray) -> str:
    """Write a picture 480 wide; its name."""
    height, width = rgb.shape[:2]
    how = cv2.INTER_AREA if width > 480 else cv2.INTER_LINEAR
    small = cv2.resize(rgb, (480, max(1, round(480 * height / width))), interpolation=how)
    _write_jpeg(folder / name, small[..., ::-1], 85)
    return name


def _write_jpeg(file: Path, bgr: np.ndarray, quality: int) -> None:
    """Write a JPEG; OSError where OpenCV only says that it did not, as on a full disk."""
    if not cv2.imwrite(str(file), bgr, [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise OSError(f'{file}: could not be written')


def _write_pictures(
    folder: Path, source: Source, seen: Frame, answers: Frame, truth: Truth | None,
    clicked: int | None,
) -> dict[str, str]:
    """Files of one frame: 'camera', 'overlay', '<panel>' and '<panel> truth' -> its name."""
    shown = {'camera': _camera_picture(source, seen)}
    for key, topic in (('overlay', 'overlay'), *((task.field, task.panel.topic) for task in SHOWN)):
        if f'{NAMESPACE}/{topic}' in answers:
            shown[key] = answers.picture(f'{NAMESPACE}/{topic}')
    if truth is not None:
        for key, rgb in _true_pictures(truth, clicked).items():
            shown[f'{key} truth'] = rgb
    return {key: _save(folder, f'{seen.stamp}_{key.replace(" ", "_")}.jpg', rgb)
            for key, rgb in shown.items()}


def _poster(folder: Path, names: dict[str, str]) -> np.ndarray:
    """One BGR picture of one frame: the camera and all answers, four in a row."""
    cells = [(task.field, task.panel.title.lower()) for task in SHOWN]
    cells = [('camera', 'camera'), *cells[:3], ('overlay', 'everything, over the camera'),
             *cells[3:]]
    cells = [(names[key], title) for key, title in cells if key in names]
    first = cv2.imread(str(folder / cells[0][0]))
    width, gap, band = 320, 8, 24
    height = round(width * first.shape[0] / first.shape[1])
    rows = -(-len(cells) // 4)
    size = (rows * (height + band + gap) - gap, 4 * (width + gap) - gap, 3)
    canvas = np.full(size, 255, np.uint8)
    for place, (name, title) in enumerate(cells):
        x, y = place % 4 * (width + gap), place // 4 * (height + band + gap)
        _write_text(canvas, title, (x + 1, y + band - 8))
        tile = cv2.resize(cv2.imread(str(folder / name)), (width, height),
                          interpolation=cv2.INTER_AREA)
        canvas[y + band:y + band + height, x:x + width] = tile
    return canvas


def _write_text(canvas: np.ndarray, text: str, at: tuple[int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 50, 40), 1, cv2.LINE_AA)


# --- HTML -------------------------------------------------------------------------------------


def _html(source: Source, played, report: Report, sheet, stamps, outputs: Path) -> str:
    """page.html, filled in; everything that goes into it is escaped."""
    total = latencies_ms(played).get(f'{NAMESPACE}/overlay', {})
    drawn = set().union(*sheet.values())
    columns = (('camera', 'camera'), ('overlay', 'overlay'),
               *((task.field, task.panel.title.lower()) for task in SHOWN))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    environment.filters['number'] = _number
    template = environment.from_string(Path(__file__).with_name('page.html').read_text('utf-8'))
    return template.render(
        source=source, played=played, report=report, tasks=SHOWN,
        rate=(len(stamps) - 1) / max(1e-9, (stamps[-1] - stamps[0]) / 1e9) if stamps else 0,
        whole=max((line.answered for line in report.topics), default=0),
        heard=len({arrival.topic for arrival in played.arrivals}),
        median=f'{np.median(list(total.values())):.0f} ms' if total else 'never',
        accuracy={line.topic: line.accuracy for line in report.topics},
        first=sheet[min(sheet)] if sheet else {},
        columns=[(key, title) for key, title in columns if key in drawn],
        sheet=[((stamp - stamps[0]) / 1e9, names) for stamp, names in sorted(sheet.items())],
        plot=_latency_plot(played, stamps), diagnostics=_diagnostics(outputs))


def _latency_plot(played, stamps: list[int]) -> dict | None:
    """Where the lines of the plot are, in its own units; None where no frame was answered.

    For every frame a line from its first answer to its last, or a tick if it was dropped.
    """
    late = latencies_ms(played)
    spans = {}
    for stamp in stamps:
        values = [found[stamp] for found in late.values() if stamp in found]
        if values:
            spans[stamp] = (min(values), max(values))
    if not spans:
        return None
    width, height, left, bottom, top = 1180, 240, 52, 34, 14
    top_ms = max(high for _, high in spans.values()) * 1.08
    seconds = max(1e-9, (stamps[-1] - stamps[0]) / 1e9)

    def x(moment: float) -> float:
        return round(left + moment / seconds * (width - left - 12), 1)

    def y(ms: float) -> float:
        return round(height - bottom - ms / top_ms * (height - bottom - top), 1)

    places = {stamp: x((stamp - stamps[0]) / 1e9) for stamp in stamps}
    return {
        'width': width, 'height': height, 'left': left, 'floor': height - bottom,
        'grid': [(y(ms), f'{ms:.0f}') for ms in np.arange(0, top_ms, _round_step(top_ms / 4))],
        'answered': [(places[stamp], y(low), y(high)) for stamp, (low, high) in spans.items()],
        'dropped': [place for stamp, place in places.items() if stamp not in spans],
        'moments': [(x(moment), f'{moment:g}')
                    for moment in np.arange(0, seconds + 1e-9, _round_step(seconds / 6))],
    }


def _round_step(value: float) -> float:
    """1, 2 or 5 times a power of ten, near `value`."""
    power = 10 ** math.floor(math.log10(max(value, 1e-9)))
    return min((1, 2, 5, 10), key=lambda n: abs(n * power - value)) * power


def _diagnostics(outputs: Path) -> list:
    """The node's last report of itself: a list of DiagnosticStatus."""
    with bags.BagReader(outputs) as bag:
        reports = [data for _, _, data in bag.messages(['/diagnostics'])]
    if not reports:
        return []
    return bags.decode(reports[-1], 'diagnostic_msgs/msg/DiagnosticArray').status
