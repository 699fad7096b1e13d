# SPDX-License-Identifier: Apache-2.0
"""Camera moves: a robot drives and turns in one scene while people walk in front of it."""

import math
from dataclasses import dataclass, replace

from diception_ros.lab.synthetic import mannequin
from diception_ros.lab.synthetic.draw import Draw
from diception_ros.lab.synthetic.photograph import random_photo
from diception_ros.lab.synthetic.renderer import render
from diception_ros.lab.synthetic.scene import Figure, dice_for, level_of
from diception_ros.lab.synthetic.solids import stack


@dataclass
class Walker:
    """Somebody who walks round and round an ellipse on the floor."""

    body: mannequin.Body
    instance: int
    centre: tuple        # x, y
    axes: tuple          # two half axes, metres
    turned: float        # radians
    start: float         # radians along the ellipse
    speed: float         # m/s on average; negative walks the other way

    def at(self, seconds):
        """Position, heading and pose at a time; steps are as long as the way, feet stay put."""
        a, b = self.axes
        around = math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))
        angle = self.start + 2 * math.pi * self.speed * seconds / around
        x, y = a * math.cos(angle), b * math.sin(angle)
        dx, dy = -a * math.sin(angle) * self.speed, b * math.cos(angle) * self.speed
        cos, sin = math.cos(self.turned), math.sin(self.turned)
        position = self.centre[0] + x * cos - y * sin, self.centre[1] + x * sin + y * cos
        heading = math.atan2(dx * sin + dy * cos, dx * cos - dy * sin)
        pace = abs(self.speed)
        two_steps = 4 * .485 * self.body.height * math.sin(.42 * min(1.3, pace / 1.1))
        pose = mannequin.walking(2 * math.pi * pace * seconds / two_steps + self.start * 3, pace)
        pose.head_yaw = .35 * math.sin(.6 * seconds + self.start)
        return position, heading, pose


@dataclass
class Drive:
    """The camera's path: forward and back along a heading that swings, with a little shaking."""

    yaw: float           # degrees
    pitch: float
    roll: float
    height: float        # metres
    reach: float         # how far it goes, metres
    period: float        # seconds there and back
    swing: float         # degrees
    swing_period: float  # seconds
    shake: float         # degrees

    def at(self, seconds, step=.02):
        """Arguments of Camera.at for a time: the heading is where it drives to."""
        x = y = 0.0
        for k in range(round(seconds / step)):
            t = (k + .5) * step
            speed = self.reach * math.pi / self.period * math.sin(2 * math.pi * t / self.period)
            yaw = math.radians(self.yaw_at(t))
            x += math.cos(yaw) * speed * step
            y += math.sin(yaw) * speed * step
        shake = self.shake * math.sin(9.1 * seconds) * math.sin(1.7 * seconds)
        return {'position': (x, y, self.height), 'yaw': self.yaw_at(seconds),
                'pitch': self.pitch + shake,
                'roll': self.roll + .6 * self.shake * math.sin(7.3 * seconds)}

    def yaw_at(self, seconds):
        return self.yaw + self.swing * math.sin(2 * math.pi * seconds / self.swing_period)


def frames_of_move(seed, frames, size, rate, worlds):
    """See `diception_ros.lab.synthetic.camera_move`."""
    level = level_of(worlds)
    dice = dice_for(seed, 'test', 'move')
    draw = Draw(dice, level)
    if draw.kind == 'corridor':      # too narrow to walk round
        draw.kind = 'room'
    view = draw.view
    view['field_of_view'] = dice.uniform(58, 65 + 15 * level)
    drive = Drive(view['yaw'], dice.uniform(4, 8), view['roll'],
                  height=dice.uniform(.85, 1.2 + .4 * level), reach=dice.uniform(.5, .9),
                  period=dice.uniform(9, 14), swing=dice.uniform(5, 10),
                  swing_period=dice.uniform(5, 9), shake=dice.uniform(.05, .25))
    view.update(drive.at(0))

    yaw = math.radians(drive.yaw)
    distance = dice.uniform(3.2, 3.6)
    loop = (math.cos(yaw) * distance, math.sin(yaw) * distance)
    axes = (dice.uniform(.75, 1.05), dice.uniform(.35, .55))
    count = dice.choices((1, 2, 3), (.3, .5, .2))[0]
    speed = dice.uniform(.55, .85) * dice.choice((-1, 1))
    start = dice.uniform(0, 2 * math.pi)
    walkers = [Walker(mannequin.random_body(dice, .1 + .3 * level), draw.thing('person'), loop,
                      axes, yaw + math.pi / 2, start + k * 2 * math.pi / count, speed)
               for k in range(count)]
    keep = [(loop[0] * s, loop[1] * s, .5) for s in (.15, .3, .5)]
    for k in range(24):
        x, y = replace(walkers[0], start=k * math.pi / 12).at(0)[0]
        keep.append((x, y, .36))
    still = draw.scene(keep=keep, people=0, things=(3, 5))
    photo = random_photo(dice, level)
    for k in range(frames):
        seconds = k / rate
        parts, figures = [still.solids], list(still.figures)
        for walker in walkers:
            position, heading, pose = walker.at(seconds)
            solids, joints, thickness = mannequin.mannequin(
                walker.body, pose, position, heading, walker.instance, draw.paint)
            parts.append(solids)
            figures.append(Figure(walker.instance, joints, thickness))
        scene = replace(still, solids=stack(parts), figures=figures, paints=draw.paint.table())
        camera = scene.camera(size, **drive.at(seconds))
        truth = render(scene, camera, replace(photo, seed=photo.seed + 1009 * k))
        truth.stamp = seconds
        yield truth
