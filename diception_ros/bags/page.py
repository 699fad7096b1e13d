# SPDX-License-Identifier: Apache-2.0
"""The page that `diception demo` leaves: pictures, latencies and a table, in plain HTML."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
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
    page = _html(source, played, report, sheet, stamps, _own_words(out / 'outputs'))
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

STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #667085; --line: #e4e7ec; --mark: #0b6e99; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 28px 24px 60px; color: var(--ink);
  background: #fff; font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 30px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 40px 0 10px; }
p { margin: 0 0 12px; max-width: 85ch; }
.soft, figcaption, .note { color: var(--soft); }
img { display: block; width: 100%; border-radius: 4px; background: #f2f4f7; }
figure { margin: 0; }
figcaption { font-size: 13px; padding: 3px 1px 0; }
.big { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; margin: 18px 0 20px; }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: 18px; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 12px; }
.card h3 { font-size: 16px; margin: 0; }
.card .words { font-size: 13px; color: var(--soft); margin: 0 0 8px; }
.card .figure { font-size: 14px; margin: 8px 0 0; color: var(--mark); font-weight: 600; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
.pair.single { grid-template-columns: 1fr; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: 90%; }
.sheet { display: grid; gap: 5px; font-size: 12px; }
.sheet img { border-radius: 2px; }
.sheet .who { align-self: center; color: var(--soft); line-height: 1.25; }
.sheet .who b { color: var(--ink); font-size: 14px; }
.sheet .last { margin-bottom: 12px; }
svg text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #667085; }
@media (max-width: 800px) { .cards, .big { grid-template-columns: 1fr; } }
"""


def _html(source: Source, played, report: Report, sheet, stamps, own_words: str) -> str:
    first = sheet[min(sheet)] if sheet else {}
    heard = {arrival.topic for arrival in played.arrivals}
    whole = max((line.answered for line in report.topics), default=0)
    rate = (len(stamps) - 1) / max(1e-9, (stamps[-1] - stamps[0]) / 1e9) if len(stamps) > 1 else 0
    total = latencies_ms(played).get(f'{NAMESPACE}/overlay', {})
    median = f'{np.median(list(total.values())):.0f} ms' if total else 'never'
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>diception demo</title><style>{STYLE}</style></head><body>',
        '<h1>One model is the robot’s eyes</h1>',
        f'<p>{len(stamps)} camera frames ({rate:.0f} per second) went over ROS 2 to '
        f'<code>diception_node</code> (model {html.escape(played.model)}, '
        f'{html.escape(played.device)}). It answered {whole} of them on {len(heard)} topics, with '
        f'{median} from the picture to the last word (median); for the others it was still '
        'busy, and dropped them: the newest frame wins.</p>',
    ]
    if first:
        parts += [
            '<div class="big">', _figure(first.get('camera'), 'what the camera sends'),
            _figure(first.get('overlay'), 'what the node makes of it: <code>overlay</code>'),
            '</div>', _cards(first, report, source.truth),
        ]
        parts += ['<h2>More frames of the same run</h2>', _contact_sheet(sheet, stamps)]
    parts += ['<h2>Latency</h2>', _latency_plot(played, stamps), '<h2>Every output</h2>',
              _topic_table(report, source), own_words,
              '<h2>What lies here</h2>', _files(source), '</body></html>']
    return '\n'.join(part for part in parts if part)


def _figure(name: str | None, caption: str) -> str:
    if name is None:
        return ''
    return f'<figure><img src="pictures/{name}" alt=""><figcaption>{caption}</figcaption></figure>'


def _cards(names: dict[str, str], report: Report, with_truth: bool) -> str:
    accuracy = {line.topic: line.accuracy for line in report.topics}
    cards = []
    for task in SHOWN:
        if task.field not in names:
            continue
        panel = task.panel
        pictures = _figure(names[task.field], 'the node')
        if with_truth:
            pictures += _figure(names[f'{task.field} truth'], 'the truth')
        figure = accuracy.get(panel.judged)
        cards.append(
            f'<div class="card"><h3>{panel.title}</h3><p class="words">{panel.words}</p>'
            f'<div class="pair{"" if with_truth else " single"}">{pictures}</div>'
            + (f'<p class="figure">{html.escape(figure)}</p>' if figure else '') + '</div>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _contact_sheet(sheet: dict[int, dict[str, str]], stamps: list[int]) -> str:
    columns = [('camera', 'camera'), ('overlay', 'overlay'),
               *((task.field, task.panel.title.lower()) for task in SHOWN)]
    drawn = set().union(*sheet.values())
    columns = [(key, title) for key, title in columns if key in drawn]
    cells = ['<span></span>'] + [f'<span>{title}</span>' for _, title in columns]
    for stamp, names in sorted(sheet.items()):
        moment = (stamp - stamps[0]) / 1e9
        rows = [('the node', '')]
        if any(key.endswith(' truth') for key in names):
            rows.append(('the truth', ' truth'))
        for number, (who, suffix) in enumerate(rows):
            last = ' last' if number == len(rows) - 1 else ''
            when = f'<b>{moment:.1f} s</b><br>' if number == 0 else ''
            cells.append(f'<span class="who{last}">{when}{who}</span>')
            for key, _ in columns:
                name = names.get(key + suffix)
                cells.append(f'<img class="{last.strip()}" src="pictures/{name}" alt="">'
                             if name else '<span></span>')
    grid = f'grid-template-columns: 62px repeat({len(columns)}, 1fr)'
    return f'<div class="sheet" style="{grid}">{"".join(cells)}</div>'


def _latency_plot(played, stamps: list[int]) -> str:
    """For every frame a line from its first answer to its last; a grey tick if it was dropped."""
    late = latencies_ms(played)
    spans = {}
    for stamp in stamps:
        values = [found[stamp] for found in late.values() if stamp in found]
        if values:
            spans[stamp] = (min(values), max(values))
    if not spans:
        return '<p class="note">No frame was answered.</p>'
    width, height, left, bottom, top = 1180, 240, 52, 34, 14
    top_ms = max(high for _, high in spans.values()) * 1.08
    seconds = max(1e-9, (stamps[-1] - stamps[0]) / 1e9)
    step = _round_step(top_ms / 4)

    def x(stamp: int) -> float:
        return left + (stamp - stamps[0]) / 1e9 / seconds * (width - left - 12)

    def y(ms: float) -> float:
        return height - bottom - ms / top_ms * (height - bottom - top)

    parts = [f'<svg viewBox="0 0 {width} {height}" width="100%" role="img" aria-label="latency">']
    for value in np.arange(0, top_ms, step):
        parts.append(f'<line x1="{left}" x2="{width}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
                     f'stroke="#e4e7ec"/><text x="{left - 8}" y="{y(value) + 4:.1f}" '
                     f'text-anchor="end">{value:.0f}</text>')
    for stamp in stamps:
        if stamp in spans:
            low, high = spans[stamp]
            parts.append(f'<line x1="{x(stamp):.1f}" x2="{x(stamp):.1f}" y1="{y(low):.1f}" '
                         f'y2="{y(high):.1f}" stroke="#0b6e99" stroke-width="5" '
                         'stroke-linecap="round"/>')
        else:
            low = height - bottom
            parts.append(f'<line x1="{x(stamp):.1f}" x2="{x(stamp):.1f}" y1="{low}" '
                         f'y2="{low - 7}" stroke="#98a2b3" stroke-width="3"/>')
    for value in np.arange(0, seconds + 1e-9, _round_step(seconds / 6)):
        place = left + value / seconds * (width - left - 12)
        parts.append(f'<text x="{place:.1f}" y="{height - bottom + 18}" text-anchor="middle">'
                     f'{value:g}</text>')
    parts.append(f'<text x="{width - 12}" y="{height - 2}" text-anchor="end">'
                 'seconds of the recording</text><text x="4" y="11">ms</text></svg>')
    return (''.join(parts) + '<p class="note">Each blue line is one frame: from its first answer '
            'to its last, in milliseconds after the picture was sent. Grey ticks are dropped '
            'frames.</p>')


def _round_step(value: float) -> float:
    """1, 2 or 5 times a power of ten, near `value`."""
    power = 10 ** math.floor(math.log10(max(value, 1e-9)))
    return min((1, 2, 5, 10), key=lambda n: abs(n * power - value)) * power


def _topic_table(report: Report, source: Source) -> str:
    head = ('<tr><th>output</th><th class="n">answered</th><th class="n">dropped</th>'
            '<th class="n">median ms</th><th class="n">95 % ms</th>'
            + ('<th>against the truth</th>' if source.truth else '') + '</tr>')
    rows = [
        f'<tr><td><code>{line.topic}</code></td><td class="n">{line.answered}</td>'
        f'<td class="n">{line.dropped}</td><td class="n">{_number(line.median_ms)}</td>'
        f'<td class="n">{_number(line.p95_ms)}</td>'
        + (f'<td>{html.escape(line.accuracy)}</td>' if source.truth else '') + '</tr>'
        for line in report.topics
    ]
    return f'<table>{head}{"".join(rows)}</table>'


def _own_words(outputs: Path) -> str:
    """The node's last diagnostics."""
    with bags.BagReader(outputs) as bag:
        reports = [data for _, _, data in bag.messages(['/diagnostics'])]
    if not reports:
        return ''
    rows = []
    for status in bags.decode(reports[-1], 'diagnostic_msgs/msg/DiagnosticArray').status:
        rows.append(f'<tr><td>{html.escape(status.name)}</td><td>{html.escape(status.message)}</td></tr>')
        rows += [f'<tr><td class="soft">&nbsp;&nbsp;{html.escape(pair.key)}</td>'
                 f'<td>{html.escape(pair.value)}</td></tr>' for pair in status.values]
    return ('<details><summary class="soft">What the node says of itself '
            f'(<code>/diagnostics</code>)</summary><table>{"".join(rows)}</table></details>')


def _files(source) -> str:
    played = html.escape(str(source.path.name if source.truth else source.path))
    return (f'<p class="note">Played: rosbag2 <code>{played}</code>. Recorded: rosbag2 '
            '<code>outputs</code> (open it with Foxglove or <code>ros2 bag play</code>). '
            'The node’s log: <code>node.log</code>.</p>')
