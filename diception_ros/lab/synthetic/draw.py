# SPDX-License-Identifier: Apache-2.0
"""Draws random scenes, from easy (level 0) to full (level 1).

Easy: a room, a few large things near a robot's camera, one or two people, mostly plain paint. The
higher the level, the more there is of all the rest: corridors, open ground, clutter, patterns, odd
cameras, bad light.
"""

import math

import numpy as np

from diception_ros.lab.synthetic import mannequin
from diception_ros.lab.synthetic import solids as shapes
from diception_ros.lab.synthetic.mannequin import hsv
from diception_ros.lab.synthetic.scene import (
    CEILING,
    FLOOR,
    OPEN,
    SKY,
    WALL,
    Figure,
    Light,
    Paints,
    Scene,
    dice_for,
    level_of,
)
from diception_ros.lab.synthetic.textures import NAMES

UP = (0.0, 0.0, 1.0)


def random_scene(seed, worlds='easy', split='train'):
    """A Scene; the same for the same arguments, different in every split."""
    return Draw(dice_for(seed, split), level_of(worlds)).scene()


class Draw:
    """One scene being drawn; `dice` is a random.Random."""

    def __init__(self, dice, level):
        self.dice, self.level = dice, level
        self.paint = Paints()
        self.parts, self.figures, self.taken = [], [], []
        self.categories = {FLOOR: 'floor', WALL: 'wall', CEILING: 'ceiling', SKY: 'sky'}
        self.kind = 'room'
        if dice.random() < level * .45:
            self.kind = dice.choice(('corridor', 'outdoor', 'outdoor'))
        self.view = self.viewpoint()

    def scene(self, keep=(), people=None, things=None):
        """`keep`: circles (x, y, radius) to leave free; `people`: how many; `things`: how many at
        least and at most. None: as the level has it."""
        dice, level = self.dice, self.level
        self.room()
        self.taken = [(*self.view['position'][:2], .7 - .2 * level), *keep]
        faces = self.surfaces()
        if people is None:
            crowd = dice.random() < .15 * level
            people = dice.randint(2, 4) if crowd else dice.choices((0, 1, 2), (1, 1.35, .65))[0]
        for _ in range(people):      # before the things: they need the most room
            self.person()
        for _ in range(dice.randint(*(things or (1, 4 + round(3 * level * dice.random()))))):
            self.random_thing()
        self.building()
        if self.chance(0, .4):
            for _ in range(dice.randint(2, 8)):
                self.clutter()
        if not self.parts:
            self.parts.append(shapes.boxes([(0, 0, -9)], (.1, .1, .1), 0, FLOOR, faces[4], False))
        lights, ambient = self.light()
        sky, haze = self.weather()
        mirror = dice.uniform(.1, .6) if self.kind != 'outdoor' and self.chance(0, .25) else 0.0
        return Scene(self.low, self.high, faces, shapes.stack(self.parts), self.paint.table(),
                     self.categories, self.figures, lights, ambient, self.view, mirror, sky, haze)

    # -- dice -------------------------------------------------------------------------------------

    def between(self, easy, full):
        """Uniform between bounds that move from the easy to the full ones with the level."""
        low, high = (a + (b - a) * self.level for a, b in zip(easy, full, strict=True))
        return self.dice.uniform(low, high)

    def chance(self, easy, full):
        return self.dice.random() < easy + (full - easy) * self.level

    def thing(self, category):
        """A new instance id."""
        number = len(self.categories) + 1
        self.categories[number] = category
        return number

    # -- where the camera is ----------------------------------------------------------------------

    def viewpoint(self):
        dice = self.dice
        height = max(self.between((.35, 1.2), (.2, 1.75)), self.between((.35, 1.2), (.2, 1.3)))
        pitch = self.between((-1, 7), (-6, 14)) + dice.random() ** 2.5 * height / 1.2 * 11
        yaw = dice.uniform(0, 360)
        if self.kind == 'corridor':
            yaw = dice.randrange(4) * 90 + dice.gauss(0, 12)
        return {'position': (0.0, 0.0, height), 'yaw': yaw, 'pitch': pitch,
                'roll': self.between((-.9, .9), (-4, 4)),
                'field_of_view': self.between((50, 65), (45, 110 if dice.random() < .5 else 75)),
                'aspect': dice.choices((4 / 3, 16 / 9, 1.0), (.5, .25, .25))[0]}

    def ahead(self, near, far):
        """A spot on the floor in front of the camera."""
        wide = min(self.view['field_of_view'], 80) * .85
        angle = math.radians(self.view['yaw'] + self.dice.uniform(-.5, .5) * wide)
        distance = self.dice.uniform(near, far)
        return math.cos(angle) * distance, math.sin(angle) * distance

    def spot(self, radius, near, far):
        """A free spot for a circle, now taken; None where none was found."""
        for _ in range(12):
            x, y = self.ahead(near, far)
            if self.free(x, y, radius):
                self.taken.append((x, y, radius))
                return x, y
        return None

    def free(self, x, y, radius, gap=.05):
        inside = (self.low[0] + radius < x < self.high[0] - radius
                  and self.low[1] + radius < y < self.high[1] - radius)
        return inside and all(math.hypot(x - a, y - b) > radius + r + gap for a, b, r in self.taken)

    # -- the room ---------------------------------------------------------------------------------

    def room(self):
        """Sets `low` and `high`."""
        dice = self.dice
        yaw = math.radians(self.view['yaw'])
        if self.kind == 'outdoor':
            self.low, self.high = np.array([-OPEN, -OPEN, 0.0]), np.array([OPEN, OPEN, OPEN])
            return
        if self.kind == 'corridor':
            reach = [dice.uniform(.6, 1.3) for _ in range(4)]
            long = [dice.uniform(4, 12), dice.uniform(1, 4)]
            along = max(range(4), key=lambda i: (-math.cos(yaw), math.cos(yaw), -math.sin(yaw),
                                                 math.sin(yaw))[i])
            reach[along], reach[along ^ 1] = long
        else:
            ahead = dice.uniform(3.8, 7.5 + 2 * self.level)
            reach = [dice.uniform(1.2, 4.0) for _ in range(4)]
            outward = (-math.cos(yaw), math.cos(yaw), -math.sin(yaw), math.sin(yaw))
            for i, axis in enumerate(outward):
                if axis > .3:
                    reach[i] = max(reach[i], ahead * axis)
        height = max(self.view['position'][2] + .3, self.between((2.3, 3.1), (2.1, 4.0)))
        self.low = np.array([-reach[0], -reach[2], 0.0])
        self.high = np.array([reach[1], reach[3], height])

    def surfaces(self):
        """Rows of paints of the six faces."""
        dice = self.dice
        wall = self.coat(self.pale(), (.25, 1.2))
        walls = [wall if dice.random() < .8 else self.coat(self.pale(), (.25, 1.2))
                 for _ in range(4)]
        bright = dice.uniform(.7, .95)
        ceiling = self.paint((bright,) * 3)
        if self.chance(0, .2):
            ceiling = self.paint((bright,) * 3, 3, (bright * .6,) * 3, dice.uniform(.3, .5))
        plain = .6 if self.kind != 'outdoor' else .3
        return [*walls, self.coat(self.ground(), (.2, .8), plain), ceiling]

    def pale(self):
        dice = self.dice
        if self.chance(0, .12):
            return self.vivid()
        if dice.random() < .45:
            grey = dice.uniform(.45, .85)
            return tuple(grey * dice.uniform(.95, 1.05) for _ in range(3))
        return hsv(dice.random(), dice.uniform(.05, .45), dice.uniform(.35, .85))

    def ground(self):
        dice = self.dice
        grey = dice.uniform(.12, .6)
        if dice.random() < .4:
            return grey, grey * dice.uniform(.93, 1.03), grey * dice.uniform(.88, 1.05)
        if self.kind == 'outdoor' and dice.random() < .6:      # grass, earth, sand
            return hsv(dice.uniform(.08, .28), dice.uniform(.2, .7), dice.uniform(.15, .5))
        if dice.random() < .4:
            return tuple(grey * dice.uniform(.95, 1.05) for _ in range(3))
        if dice.random() < .5:
            return hsv(dice.uniform(.05, .11), dice.uniform(.3, .7), dice.uniform(.2, .65))
        return hsv(dice.random(), dice.uniform(.1, .6), dice.uniform(.12, .6))

    def vivid(self):
        dice = self.dice
        if dice.random() < .25:
            return (dice.uniform(.05, .9),) * 3
        return hsv(dice.random(), dice.uniform(.4, 1), dice.uniform(.2, .95))

    def wood(self):
        dice = self.dice
        return hsv(dice.uniform(.05, .11), dice.uniform(.2, .7), dice.uniform(.2, .8))

    def coat(self, colour, scale=(.5, 2), plain=.7, gloss=0.0):
        """A paint: plain, or with a pattern in a second tone of the colour."""
        dice = self.dice
        if dice.random() < plain + (.3 - plain) * self.level:
            if self.chance(0, .4):      # not quite even
                dirty = tuple(c * dice.uniform(.8, .96) for c in colour)
                size = dice.uniform(.1, .6)
                return self.paint(colour, NAMES.index('fractal'), dirty, size, gloss)
            return self.paint(colour, gloss=gloss)
        if dice.random() < .6:
            second = tuple(c * dice.uniform(.5, .92) for c in colour)
        else:
            second = hsv(dice.random(), dice.uniform(0, .7), dice.uniform(.1, .9))
        pattern = dice.randrange(1, len(NAMES))
        return self.paint(colour, pattern, second, dice.uniform(*scale), gloss)

    # -- what belongs to walls and ceiling --------------------------------------------------------

    def building(self):
        dice = self.dice
        if self.kind == 'outdoor':
            for _ in range(dice.randint(0, 3)):
                self.facade()
            for _ in range(dice.choice((0, 0, 1, 3))):
                self.pole()
            return
        if self.chance(.12, .6):
            for _ in range(dice.randint(1, 2 + round(4 * self.level))):
                self.on_wall()
        if self.chance(.1, .4):
            self.baseboards()
        if self.chance(0, .25):
            self.pillar()
        if self.chance(0, .3):
            for _ in range(dice.randint(1, 2)):
                self.cupboard()
        if self.chance(0, .12):
            self.sofa()
        if self.chance(0, .35):
            self.ceiling_lamps()

    def against_wall(self, half, depth, bottom, height, instance, paint, casts=False, gap=None):
        """A box on a random wall, mostly one that the camera sees; `half` of its width, metres.

        `gap`: metres that must be free on the floor in front of it."""
        dice = self.dice
        yaw = math.radians(self.view['yaw'])
        outward = (-math.cos(yaw), math.cos(yaw), -math.sin(yaw), math.sin(yaw))
        face = dice.choices(range(4), [max(.05, o + .3) for o in outward])[0]
        axis, other = face >> 1, 1 - (face >> 1)
        if self.high[other] - self.low[other] < 2 * half + .2:
            return
        centre = np.zeros(3)
        centre[other] = dice.uniform(self.low[other] + half, self.high[other] - half)
        centre[axis] = self.high[axis] - depth / 2 if face & 1 else self.low[axis] + depth / 2
        centre[2] = bottom + height / 2
        if gap is not None:
            radius = math.hypot(half, depth / 2)
            if any(math.hypot(centre[0] - a, centre[1] - b) < radius + r + gap
                   for a, b, r in self.taken):
                return
            self.taken.append((centre[0], centre[1], radius))
        size = np.full(3, height / 2)
        size[axis], size[other] = depth / 2, half
        self.parts.append(shapes.boxes([centre], size, 0, instance, paint, casts))

    def on_wall(self):
        """A door, a window or a poster; they are wall."""
        dice = self.dice
        kind = dice.choice(('door', 'window', 'poster', 'poster'))
        room = self.high[2]
        if kind == 'door':
            colour = self.wood() if dice.random() < .6 else self.pale()
            self.against_wall(dice.uniform(.38, .5), dice.uniform(.01, .06), 0,
                              min(dice.uniform(1.95, 2.15), room - .05), WALL, self.coat(colour))
        elif kind == 'window':
            light = dice.uniform(.9, 3.5)
            colour = (light * .92, light * .97, light)
            paint = self.paint(colour, dice.choice((0, 3, 6)), tuple(c * .5 for c in colour),
                               dice.uniform(.2, .5))
            self.against_wall(dice.uniform(.35, .9), dice.uniform(.01, .04), dice.uniform(.8, 1.0),
                              min(dice.uniform(.8, 1.3), room - 1.1), WALL, paint)
        else:
            height = dice.uniform(.25, .9)
            paint = self.coat(self.vivid(), (.5, 3), plain=.5)
            self.against_wall(dice.uniform(.15, .6), dice.uniform(.005, .03),
                              dice.uniform(1.0, max(1.05, min(1.6, room - height - .1))), height,
                              WALL, paint)

    def baseboards(self):
        dice = self.dice
        paint = self.paint(self.pale() if dice.random() < .5 else (dice.uniform(.03, .2),) * 3)
        tall, thick = dice.uniform(.03, .07), .012
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        centres = [(self.low[0], middle[1], tall), (self.high[0], middle[1], tall),
                   (middle[0], self.low[1], tall), (middle[0], self.high[1], tall)]
        sizes = [(thick, half[1], tall)] * 2 + [(half[0], thick, tall)] * 2
        self.parts.append(shapes.boxes(centres, sizes, 0, WALL, paint, False))

    def pillar(self):
        """A pillar, a corner that stands out, or a low wall; they are wall."""
        dice = self.dice
        half = dice.uniform(.12, .6)
        tall = self.high[2] if dice.random() < .7 else dice.uniform(.7, 1.4)
        self.against_wall(half, dice.uniform(.2, 1.6), 0, tall, WALL, self.coat(self.pale()), True,
                          gap=.1)

    def cupboard(self):
        dice = self.dice
        colour = self.wood() if dice.random() < .5 else self.pale()
        half, tall = dice.uniform(.3, .7), dice.uniform(.6, min(2.1, self.high[2] - .1))
        self.against_wall(half, dice.uniform(.3, .6), 0, tall, self.thing('box'),
                          self.coat(colour, gloss=.1), True, gap=.1)

    def sofa(self):
        """A seat with a back and arms, all one thing."""
        dice = self.dice
        long, deep, low = dice.uniform(.25, .9), dice.uniform(.3, .42), dice.uniform(.18, .24)
        spot = self.spot(math.hypot(long, deep), 1.7, self.far())
        if not spot:
            return
        yaw, back, arm = dice.uniform(0, 2 * math.pi), dice.uniform(.1, .4), dice.uniform(.04, .1)
        parts = [(0, 0, low, long, deep, low),
                 (0, deep - arm, low + back / 2, long, arm, low + back / 2)]
        if dice.random() < .6:
            parts += [(side * (long - arm), 0, low + .09, arm, deep, low + .09) for side in (-1, 1)]
        cos, sin = math.cos(yaw), math.sin(yaw)
        x, y = spot
        self.parts.append(shapes.boxes(
            [(x + a * cos - b * sin, y + a * sin + b * cos, c) for a, b, c, *_ in parts],
            [part[3:] for part in parts], yaw, self.thing('box'), self.coat(self.vivid())))

    def ceiling_lamps(self):
        dice = self.dice
        bright = dice.uniform(2, 5)
        paint = self.paint((bright,) * 3)
        half = (dice.uniform(.1, .6), dice.uniform(.1, .3), .02)
        step = max(1.2, 3 * half[0])
        centres = [(x, y, self.high[2])
                   for x in np.arange(self.low[0] + .8, self.high[0] - .5, step)
                   for y in np.arange(self.low[1] + .8, self.high[1] - .5, 1.8)][:24]
        if centres:
            self.parts.append(shapes.boxes(centres, half, 0, CEILING, paint, False))

    def facade(self):
        """A house far off, or a fence; they are wall."""
        dice = self.dice
        fence = dice.random() < .3
        angle = math.radians(self.view['yaw'] + dice.uniform(-60, 60))
        distance = dice.uniform(6, 30)
        half = (dice.uniform(.05, .1) if fence else dice.uniform(1.5, 5), dice.uniform(2, 8),
                dice.uniform(.4, .9) if fence else dice.uniform(1.3, 6))
        if self.chance(.3, .8):
            colour = self.pale()
            dark = tuple(c * dice.uniform(.2, .8) for c in colour)
            paint = self.paint(colour, dice.choice((3, 5, 1, 4, 6)), dark, dice.uniform(.08, .5))
        else:
            paint = self.paint(self.pale())
        distance += math.hypot(half[0], half[1])
        centre = (math.cos(angle) * distance, math.sin(angle) * distance, half[2])
        yaw = angle + dice.gauss(0, .5)
        self.parts.append(shapes.boxes([centre], half, yaw, WALL, paint, False))

    def pole(self):
        dice = self.dice
        spot = self.spot(.15, 2, 12)
        if spot:
            half = dice.choice((dice.uniform(.3, .6), dice.uniform(1, 2.5)))
            radius, number = dice.uniform(.03, .14), self.thing('cylinder')
            self.parts.append(shapes.cylinders([(*spot, half)], [UP], [radius], half, number,
                                               self.coat(self.vivid())))

    # -- things -----------------------------------------------------------------------------------

    def random_thing(self):
        kinds = (self.box, self.ball, self.cylinder, self.table)
        self.dice.choices(kinds, (.34, .24, .26, .16 + .1 * self.level))[0]()

    def far(self):
        return 4 + 4 * self.level * self.dice.random()

    def near(self):
        return 1.3 - .5 * self.level * self.dice.random()

    def box(self):
        dice = self.dice
        half = np.array([self.between((.125, .3), (.08, .45)) for _ in range(3)])
        radius = math.hypot(half[0], half[1])
        spot = self.spot(radius, self.near() + radius - .25, self.far())
        if spot:
            yaw = dice.uniform(0, math.pi)
            self.parts.append(shapes.boxes([(*spot, half[2])], half, yaw, self.thing('box'),
                                           self.coat(self.vivid(), gloss=dice.uniform(0, .3))))
            if self.chance(.03, .3):
                self.put_on(spot, half, yaw, 2 * half[2])

    def ball(self):
        radius = self.between((.125, .3), (.07, .4))
        spot = self.spot(radius, self.near(), self.far())
        if spot:
            self.parts.append(shapes.balls([(*spot, radius)], [radius], self.thing('ball'),
                                           self.coat(self.vivid(), gloss=self.dice.uniform(0, .8))))

    def cylinder(self):
        dice = self.dice
        radius = self.between((.1, .24), (.05, .35))
        half = self.between((.125, .32), (.08, .55))
        lying = dice.random() < .3
        spot = self.spot(max(radius, half) if lying else radius, self.near(), self.far())
        if spot:
            yaw = dice.uniform(0, 2 * math.pi)
            axis = (math.cos(yaw), math.sin(yaw), 0) if lying else UP
            self.parts.append(shapes.cylinders(
                [(*spot, radius if lying else half)], [axis], [radius], half,
                self.thing('cylinder'), self.coat(self.vivid(), gloss=dice.uniform(0, .5))))

    def table(self):
        dice = self.dice
        half = (self.between((.3, .6), (.3, .9)), self.between((.25, .45), (.22, .5)))
        height = dice.uniform(.38, .78)
        spot = self.spot(math.hypot(*half), 1.7, self.far())
        if not spot:
            return
        yaw = dice.uniform(0, math.pi)
        self.build_table(spot, half, height, yaw)
        if self.chance(.12, .65):
            for _ in range(1 if dice.random() > self.level else dice.randint(1, 5)):
                self.put_on(spot, half, yaw, height)

    def build_table(self, spot, half, height, yaw):
        dice = self.dice
        top = self.coat(self.vivid() if dice.random() < .4 else self.wood(), (.3, 1), gloss=.2)
        legs = top if dice.random() < .5 else self.paint((dice.uniform(.05, .6),) * 3)
        number = self.thing('table')
        thick = dice.uniform(.015, .03)
        cos, sin = math.cos(yaw), math.sin(yaw)
        add = self.parts.append
        if dice.random() < .15 and half[0] / half[1] < 1.6:
            round_ = min(half)
            add(shapes.cylinders([(*spot, height - thick)], [UP], [round_], thick, number, top))
            half = (round_ * .75, round_ * .75)
        else:
            add(shapes.boxes([(*spot, height - thick)], (*half, thick), yaw, number, top))
        if dice.random() < .25:
            feet, radius = [(0, 0)], dice.uniform(.03, .06)
            add(shapes.cylinders([(*spot, .015)], [UP], [min(half) * .6], .015, number, legs))
        else:
            radius = dice.uniform(.018, .035)
            inset = radius + dice.uniform(.01, .05)
            feet = [(sx * (half[0] - inset), sy * (half[1] - inset))
                    for sx in (-1, 1) for sy in (-1, 1)]
        tall = height / 2 - thick
        centre = [(spot[0] + a * cos - b * sin, spot[1] + a * sin + b * cos, tall) for a, b in feet]
        if dice.random() < .5:
            count = len(feet)
            add(shapes.cylinders(centre, [UP] * count, [radius] * count, tall, number, legs))
        else:
            add(shapes.boxes(centre, (radius, radius, tall), yaw, number, legs))

    def put_on(self, spot, half, yaw, height):
        """A small thing on a table or a box."""
        dice = self.dice
        size = dice.uniform(.04, min(.16, .5 * min(half[:2])))
        room = [max(0, h - 1.5 * size) for h in half[:2]]
        a, b = dice.uniform(-room[0], room[0]), dice.uniform(-room[1], room[1])
        x = spot[0] + a * math.cos(yaw) - b * math.sin(yaw)
        y = spot[1] + a * math.sin(yaw) + b * math.cos(yaw)
        self.small((x, y), size, height)

    def clutter(self):
        size = self.dice.uniform(.03, .12)
        spot = self.spot(size * 1.5, .9, 4)
        if spot:
            self.small(spot, size, 0)

    def small(self, spot, size, bottom):
        dice = self.dice
        kind = dice.choice(('box', 'cylinder', 'cylinder', 'ball'))
        number, paint = self.thing(kind), self.coat(self.vivid(), (1, 5), gloss=dice.uniform(0, .6))
        x, y = spot
        if kind == 'box':
            half = size * np.array([dice.uniform(a, b) for a, b in ((.4, 1), (.4, 1), (.2, 1.4))])
            self.parts.append(shapes.boxes([(x, y, bottom + half[2])], half, dice.uniform(0, 3.1),
                                           number, paint))
        elif kind == 'ball':
            self.parts.append(shapes.balls([(x, y, bottom + size)], [size], number, paint))
        else:
            half = size * dice.uniform(.6, 1.8)
            self.parts.append(shapes.cylinders([(x, y, bottom + half)], [UP], [size * .7], half,
                                               number, paint))

    # -- people -----------------------------------------------------------------------------------

    def person(self):
        dice, level = self.dice, self.level
        near = dice.uniform(2.0, 3.2) - .6 * level * dice.random()
        spot = self.spot(.42, near, 3.5 + 3.5 * level * dice.random())
        if not spot:
            return
        body = self.dressed(mannequin.random_body(dice, .1 + .3 * level))
        kind, pose = mannequin.random_pose(dice)
        heading = dice.uniform(0, 2 * math.pi)
        if dice.random() < .45:       # towards the camera, more or less
            heading = math.atan2(-spot[1], -spot[0]) + dice.gauss(0, .6)
        self.add_figure(body, kind, pose, spot, heading)

    def dressed(self, body):
        """A body in the clothes of this kind of scene."""
        return body

    def add_figure(self, body, kind, pose, spot, heading):
        """Somebody, and what they sit on."""
        dice = self.dice
        solids, joints, thickness = mannequin.mannequin(body, pose, spot, heading,
                                                        self.thing('person'), self.paint)
        self.parts.append(solids)
        self.figures.append(Figure(int(solids.instance[0]), joints, thickness))
        if kind == 'sitting':
            seat = joints[11:13].mean(axis=0)
            top = seat[2] - .060 * body.height * body.build
            if top > .12:
                back = np.array([-math.cos(heading), -math.sin(heading)]) * .04
                half = (dice.uniform(.17, .24), dice.uniform(.18, .26), top / 2)
                self.parts.append(shapes.boxes([(*(seat[:2] + back), top / 2)], half, heading,
                                               self.thing('box'), self.coat(self.vivid())))

    # -- light ------------------------------------------------------------------------------------

    def light(self):
        """Lamps (or the sun) and what comes from everywhere."""
        dice = self.dice
        outdoor = self.kind == 'outdoor'
        yaw = math.radians(self.view['yaw'])
        lights = []
        for number in range(1 if outdoor else dice.choices((1, 2), (.6, .4))[0]):
            bearing = dice.uniform(0, 2 * math.pi)
            elevation = math.radians(self.between((35, 85), (20, 88)))
            distance = 60 if outdoor else dice.uniform(4.5, 9)
            flat = distance * math.cos(elevation)
            position = np.array([math.cos(yaw) * 2.5 + flat * math.cos(bearing),
                                 math.sin(yaw) * 2.5 + flat * math.sin(bearing),
                                 max(3.0, distance * math.sin(elevation))])
            tint = .16 + .2 * self.level
            warm = dice.uniform(-tint, tint)
            power = dice.uniform(.5, 1.4) * (.6 if number else 1)
            if outdoor:
                power = 0 if dice.random() < .3 else dice.uniform(.8, 2.5)      # 0: overcast
            soft = dice.uniform(.01, .12 + .1 * self.level)
            if self.chance(.06, .15) or (number and dice.random() < .5):
                soft = 0
            if power:
                colour = power * (1 + warm), power, power * (1 - warm)
                lights.append(Light(position, colour, soft))
        cool = dice.uniform(-.1, .1)
        ambient = dice.uniform(.6, 1.3) if outdoor else self.between((.3, .8), (.15, 1.0))
        return lights, (ambient * (1 - cool), ambient, ambient * (1 + cool))

    def weather(self):
        dice = self.dice
        if self.kind != 'outdoor':
            return Scene.sky, 0.0
        bright = dice.uniform(.8, 1.6)
        if dice.random() < .4:                      # grey
            low = high = (bright,) * 3
        else:
            high = tuple(bright * c for c in hsv(dice.uniform(.54, .64), dice.uniform(.3, .75), .8))
            low = tuple(bright * c for c in hsv(dice.uniform(.5, .65), dice.uniform(0, .25), 1))
        return (high, low, dice.choice((0, dice.uniform(.1, .7)))), dice.choice(
            (0, 0, dice.uniform(.002, .03)))
