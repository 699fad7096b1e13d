# SPDX-License-Identifier: Apache-2.0
"""What a world is, and how a random one is drawn: a room, things, people, lights and a place for the camera."""

import math
import random
from dataclasses import dataclass, field

import numpy as np

from diception_ros.worlds import mannequin
from diception_ros.worlds import solids as shapes
from diception_ros.worlds.camera import Camera
from diception_ros.worlds.mannequin import hsv

FLOOR, WALL, CEILING, SKY = 1, 2, 3, 4       # instance ids of stuff; things and people follow
LEVELS = {'easy': 0.0, 'full': 1.0}
SPLITS = ('train', 'validation', 'test')


@dataclass
class Figure:
    """A person as the truth needs it."""

    instance: int
    joints: np.ndarray       # float64 (17, 3), world, COCO order
    thickness: np.ndarray    # float64 (17,), metres of body in front of a joint


@dataclass
class Light:
    position: np.ndarray     # float64 (3,), world
    colour: tuple            # linear RGB
    size: float              # radius in metres: how soft its shadows are


@dataclass
class Scene:
    """A world with one place to look at it from. The room is the box from `low` to `high`, axis-aligned."""

    low: np.ndarray          # float64 (3,), low[2] = 0 is the floor
    high: np.ndarray         # float64 (3,)
    outdoor: bool            # no ceiling and no walls but far ones
    faces: list              # paint rows of the walls at low x, high x, low y, high y, the floor, the ceiling
    solids: shapes.Solids
    paints: np.ndarray       # float32 (P, 9): colour, second colour, texture, scale in 1/m, gloss
    categories: dict         # instance id -> category
    figures: list
    lights: list
    ambient: tuple           # linear RGB
    view: dict               # arguments of Camera.at
    mirror: float = 0.0      # how much the floor reflects
    sky: tuple = ((.35, .55, .9), (.85, .9, .95))
    level: float = 0.0

    def camera(self, size=(128, 128), **changes):
        """The scene's own camera. A square picture may be squashed from a wider sensor, others never are."""
        view = {**self.view, **changes}
        aspect = view.pop('aspect')
        return Camera.at(size=size, aspect=aspect if size[0] == size[1] else None, **view)


@dataclass
class Paints:
    """Collects the rows of Scene.paints, each once."""

    rows: dict = field(default_factory=dict)

    def __call__(self, colour, texture=0, second=None, scale=8.0, gloss=0.0):
        row = (*colour, *(second or colour), texture, scale, gloss)
        return self.rows.setdefault(row, len(self.rows))

    def table(self):
        return np.array(list(self.rows), np.float32)


def level_of(worlds):
    """0 (easy) to 1 (full)."""
    level = LEVELS.get(worlds, worlds)
    if isinstance(level, str) or not 0 <= level <= 1:
        raise ValueError(f"worlds={worlds!r}: use 'easy', 'full' or a number from 0 to 1")
    return float(level)


def dice_for(seed, split, purpose='scene'):
    """A random.Random that no other split and purpose shares."""
    if split not in SPLITS:
        raise ValueError(f'split={split!r}: use one of {", ".join(SPLITS)}')
    return random.Random(f'{purpose}/{split}/{int(seed)}')


class Place:
    """Keeps things apart on the floor: circles that are taken."""

    def __init__(self, low, high):
        self.low, self.high, self.taken = low, high, []

    def free(self, x, y, radius, gap=0.05):
        inside = (self.low[0] + radius < x < self.high[0] - radius and self.low[1] + radius < y < self.high[1] - radius)
        return inside and all(math.hypot(x - a, y - b) > radius + r + gap for a, b, r in self.taken)

    def take(self, x, y, radius):
        self.taken.append((x, y, radius))


def random_scene(seed, worlds='easy', split='train'):
    """A Scene; the same for the same arguments, different in every split."""
    level = level_of(worlds)
    dice = dice_for(seed, split)
    return Draw(dice, level).scene()


class Draw:
    """One scene being drawn."""

    def __init__(self, dice, level):
        self.dice, self.level, self.view = dice, level, None
        self.paint = Paints()
        self.parts, self.figures = [], []
        self.categories = {FLOOR: 'floor', WALL: 'wall', CEILING: 'ceiling', SKY: 'sky'}

    def between(self, easy, full):
        """Uniform between bounds that widen with the level."""
        t = self.level
        return self.dice.uniform(easy[0] + (full[0] - easy[0]) * t, easy[1] + (full[1] - easy[1]) * t)

    def chance(self, easy, full):
        return self.dice.random() < easy + (full - easy) * self.level

    def thing(self, category):
        number = 5 + len(self.categories) - 4
        self.categories[number] = category
        return number

    def scene(self, keep=(), people=None, things=(1, 4)):
        """`keep`: circles (x, y, radius) to leave free; `people`: how many, None: 0 to 2; `things`: at least and at most."""
        dice = self.dice
        self.view = self.view or self.viewpoint()
        low, high = self.room()
        self.place = Place(low, high)
        self.place.taken = [(*self.view['position'][:2], .7), *keep]
        faces = self.surfaces()
        if people is None:
            people = dice.choices((0, 1, 2), (1, 1.35, .65))[0]
        for _ in range(people):      # before the things: they need the most room
            self.person()
        for _ in range(dice.randint(*things)):
            self.random_thing()
        solids = shapes.stack(self.parts) if self.parts else shapes.boxes(
            np.array([[0, 0, -50.0]]), .1, 0, FLOOR, faces[4])
        return Scene(low, high, False, faces, solids, self.paint.table(), self.categories, self.figures,
                     *self.light(low, high), self.view, level=self.level)

    # -- where the camera is ------------------------------------------------------------------------

    def viewpoint(self):
        dice = self.dice
        height = self.between((.4, 1.3), (.2, 1.7))
        pitch = self.between((-1, 8), (-8, 15)) + dice.random() ** 2 * (height / 1.2) * 9
        return {'position': (0.0, 0.0, height), 'yaw': dice.uniform(0, 360), 'pitch': pitch,
                'roll': self.between((-.9, .9), (-4, 4)), 'field_of_view': self.between((50, 65), (45, 110)),
                'aspect': dice.choices((4 / 3, 16 / 9, 1.0), (.5, .25, .25))[0]}

    def ahead(self, near, far, spread=0.85):
        """A spot on the floor in front of the camera."""
        angle = math.radians(self.view['yaw'] + self.dice.uniform(-.5, .5) * self.view['field_of_view'] * spread)
        distance = self.dice.uniform(near, far)
        return math.cos(angle) * distance, math.sin(angle) * distance

    def room(self):
        dice = self.dice
        yaw = math.radians(self.view['yaw'])
        ahead = dice.uniform(3.8, 7.5)
        reach = [dice.uniform(1.2, 4.0) for _ in range(4)]
        for i, axis in enumerate((-math.cos(yaw), math.cos(yaw), -math.sin(yaw), math.sin(yaw))):
            if axis > 0.3:
                reach[i] = max(reach[i], ahead * axis)
        height = dice.uniform(2.3, 3.1)
        return np.array([-reach[0], -reach[2], 0.0]), np.array([reach[1], reach[3], height])

    # -- what it is made of ---------------------------------------------------------------------------

    def surfaces(self):
        dice = self.dice

        def pale():
            if dice.random() < .45:
                grey = dice.uniform(.45, .85)
                return tuple(grey * dice.uniform(.95, 1.05) for _ in range(3))
            return hsv(dice.random(), dice.uniform(.05, .45), dice.uniform(.35, .85))

        def floor():
            if dice.random() < .4:
                return tuple(dice.uniform(.12, .6) * dice.uniform(.95, 1.05) for _ in range(3))
            if dice.random() < .5:
                return hsv(dice.uniform(.05, .11), dice.uniform(.3, .7), dice.uniform(.2, .65))
            return hsv(dice.random(), dice.uniform(.1, .6), dice.uniform(.12, .6))

        wall = self.coat(pale(), (1, 4))
        walls = [wall if dice.random() < .8 else self.coat(pale(), (1, 4)) for _ in range(4)]
        ceiling = self.paint(tuple(dice.uniform(.7, .95) for _ in range(1)) * 3)
        grey = dice.uniform(.12, .6)
        tone = (grey, grey * dice.uniform(.93, 1.03), grey * dice.uniform(.88, 1.05)) if dice.random() < .4 else floor()
        return [*walls, self.coat(tone, (.8, 3), plain=.6), ceiling]

    def coat(self, colour, scale=(2, 8), plain=.7, gloss=0.0):
        """A paint: plain, or with a pattern in a second tone of the colour."""
        dice = self.dice
        if dice.random() < plain + (.35 - plain) * self.level:
            return self.paint(colour, gloss=gloss)
        second = tuple(c * dice.uniform(.55, .9) for c in colour) if dice.random() < .6 else hsv(
            dice.random(), dice.uniform(0, .7), dice.uniform(.1, .9))
        return self.paint(colour, dice.randint(1, 12), second, dice.uniform(*scale), gloss)

    def vivid(self):
        dice = self.dice
        if dice.random() < .25:
            grey = dice.uniform(.05, .9)
            return grey, grey, grey
        return hsv(dice.random(), dice.uniform(.4, 1), dice.uniform(.2, .95))

    def random_thing(self):
        kind = self.dice.choices(('box', 'ball', 'cylinder', 'table'), (.34, .24, .26, .16))[0]
        getattr(self, kind)()

    def spot(self, radius, near, far):
        for _ in range(12):
            x, y = self.ahead(near, far)
            if self.place.free(x, y, radius):
                self.place.take(x, y, radius)
                return x, y
        return None

    def box(self):
        dice = self.dice
        half = np.array([dice.uniform(.125, .3) for _ in range(3)])
        spot = self.spot(math.hypot(half[0], half[1]), 1.3, 4)
        if spot:
            self.parts.append(shapes.boxes([(*spot, half[2])], half, dice.uniform(0, math.pi), self.thing('box'),
                                           self.coat(self.vivid(), gloss=dice.uniform(0, .3))))

    def ball(self):
        radius = self.dice.uniform(.125, .3)
        spot = self.spot(radius, 1.3, 4)
        if spot:
            self.parts.append(shapes.balls([(*spot, radius)], [radius], self.thing('ball'),
                                           self.coat(self.vivid(), gloss=self.dice.uniform(0, .8))))

    def cylinder(self):
        dice = self.dice
        radius, half = dice.uniform(.1, .24), dice.uniform(.125, .32)
        lying = dice.random() < .3
        spot = self.spot(max(radius, half) if lying else radius, 1.3, 4)
        if spot:
            yaw = dice.uniform(0, 2 * math.pi)
            axis = (math.cos(yaw), math.sin(yaw), 0) if lying else (0, 0, 1)
            self.parts.append(shapes.cylinders([(*spot, radius if lying else half)], [axis], [radius], half,
                                               self.thing('cylinder'), self.coat(self.vivid(), gloss=dice.uniform(0, .5))))

    def table(self):
        dice = self.dice
        half = (dice.uniform(.3, .6), dice.uniform(.25, .45))
        height = dice.uniform(.38, .78)
        spot = self.spot(math.hypot(*half), 1.7, 4)
        if spot:
            self.build_table(spot, half, height, dice.uniform(0, math.pi))

    def build_table(self, spot, half, height, yaw):
        dice = self.dice
        top = self.coat(self.vivid() if dice.random() < .4 else hsv(dice.uniform(.05, .11), dice.uniform(.2, .7),
                                                                    dice.uniform(.2, .8)), (1, 3), gloss=.2)
        legs = top if dice.random() < .5 else self.paint((dice.uniform(.05, .6),) * 3)
        number = self.thing('table')
        thick = dice.uniform(.015, .03)
        cos, sin = math.cos(yaw), math.sin(yaw)
        self.parts.append(shapes.boxes([(*spot, height - thick)], (*half, thick), yaw, number, top))
        if dice.random() < .25:
            feet, radius = [(0, 0)], dice.uniform(.03, .06)
            self.parts.append(shapes.cylinders([(*spot, .015)], [(0, 0, 1)], [min(half) * .6], .015, number, legs))
        else:
            radius = dice.uniform(.018, .035)
            inset = radius + dice.uniform(.01, .05)
            feet = [(sx * (half[0] - inset), sy * (half[1] - inset)) for sx in (-1, 1) for sy in (-1, 1)]
        centre = [(spot[0] + a * cos - b * sin, spot[1] + a * sin + b * cos, height / 2 - thick) for a, b in feet]
        if dice.random() < .5:
            self.parts.append(shapes.cylinders(centre, [(0, 0, 1)] * len(feet), [radius] * len(feet), height / 2 - thick,
                                               number, legs))
        else:
            self.parts.append(shapes.boxes(centre, (radius, radius, height / 2 - thick), yaw, number, legs))

    # -- people -----------------------------------------------------------------------------------------

    def person(self):
        dice = self.dice
        spot = self.spot(.42, 2.0, 3.5)
        if not spot:
            return
        body = mannequin.random_body(dice, .1 + .3 * self.level)
        kind, pose = mannequin.random_pose(dice)
        heading = dice.uniform(0, 2 * math.pi)
        if dice.random() < .45:       # towards the camera, more or less
            heading = math.atan2(-spot[1], -spot[0]) + dice.gauss(0, .6)
        solids, joints, thickness = mannequin.mannequin(body, pose, spot, heading, self.thing('person'), self.paint)
        self.parts.append(solids)
        self.figures.append(Figure(solids.instance[0], joints, thickness))
        if kind == 'sitting':
            seat = joints[11:13].mean(axis=0)
            top = seat[2] - .060 * body.height * body.build
            if top > .15:
                back = np.array([-math.cos(heading), -math.sin(heading)]) * .04
                half = (dice.uniform(.17, .24), dice.uniform(.18, .26), top / 2)
                self.parts.append(shapes.boxes([(*(seat[:2] + back), top / 2)], half, heading, self.thing('box'),
                                               self.coat(self.vivid())))

    # -- light ------------------------------------------------------------------------------------------

    def light(self, low, high):
        dice = self.dice
        lights = []
        for number in range(dice.choices((1, 2), (.6, .4))[0]):
            bearing = dice.uniform(0, 2 * math.pi)
            elevation = math.radians(dice.uniform(35, 85))
            distance = dice.uniform(4.5, 9)
            yaw = math.radians(self.view['yaw'])
            position = np.array([math.cos(yaw) * 2.5 + distance * math.cos(elevation) * math.cos(bearing),
                                 math.sin(yaw) * 2.5 + distance * math.cos(elevation) * math.sin(bearing),
                                 max(3.0, distance * math.sin(elevation))])
            warm = dice.uniform(-.16, .16)
            power = dice.uniform(.5, 1.2) * (.6 if number else 1)
            lights.append(Light(position, (power * (1 + warm), power, power * (1 - warm)), dice.uniform(.03, .12)))
        cool = dice.uniform(-.1, .1)
        ambient = dice.uniform(.35, .8)
        return lights, (ambient * (1 - cool), ambient, ambient * (1 + cool))
