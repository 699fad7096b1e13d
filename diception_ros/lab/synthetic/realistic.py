# SPDX-License-Identifier: Apache-2.0
"""Draws scenes that look more like photographs: tables seen from a robot's arm, furniture, vessels,
people close by; with real surfaces, cut-outs and light where there are `Assets`."""

import math

import numpy as np

from diception_ros.lab.datasets.cutouts import THING, category_of, unsure_of
from diception_ros.lab.synthetic import mannequin
from diception_ros.lab.synthetic import solids as shapes
from diception_ros.lab.synthetic.billboards import Billboard
from diception_ros.lab.synthetic.draw import UP, Draw
from diception_ros.lab.synthetic.mannequin import hsv
from diception_ros.lab.synthetic.scene import FLOOR, PHOTO, WALL
from diception_ros.lab.synthetic.textures import NAMES
from diception_ros.tasks import CATEGORIES

BACKDROP_SHARE = .2            # of scenes: things and people before a photograph
LEAST_SEEN = .1                 # radians: what is smaller to the camera is enlarged, up to twice


class RealDraw(Draw):
    """One scene being drawn, as `Draw`; `assets` is an Assets, perhaps an empty one."""

    def __init__(self, rng, level, assets):
        self.assets = assets
        self.boards, self.phantoms, self.photos, self.unsure = [], [], {}, {}
        self.on_table = None
        super().__init__(rng, level)
        if rng.random() < .4:
            self.kind = 'tabletop'
            self.view = self.arm_view()

    def scene(self, keep=(), people=None, things=None):
        """A Scene, see `Draw.scene`."""
        rng = self.dice
        if self.kind == 'tabletop':
            people = people or 0
            things = things or (0, 2)
        things = things or (2, 5 + round(4 * self.level * rng.random()))
        scene = super().scene(keep, people, things)
        scene.nooks = rng.uniform(.1, .6)
        scene.boards, scene.unsure = self.boards, self.unsure
        if self.phantoms:
            scene.phantoms = shapes.stack(self.phantoms)
        if self.photos:
            scene.photos = np.stack([self.assets.textures[n] for n in self.photos])
        number = self.assets.random_panorama(rng)
        if number is not None and rng.random() < .6:
            scene.panorama = np.asarray(self.assets.panoramas[number], np.float32)
            scene.turn = rng.uniform(0, 2 * math.pi)
        number = self.assets.random_backdrop(rng)
        if number is not None and rng.random() < BACKDROP_SHARE:
            scene.backdrop = np.asarray(self.assets.backdrops[number])
            scene.mirror = scene.haze = 0.0
            if rng.random() < .5:
                scene.backdrop = np.ascontiguousarray(scene.backdrop[:, ::-1])
        return scene

    # -- paints -----------------------------------------------------------------------------------

    def photo(self, kind):
        """The number of one of the scene's photographs as a texture, or None."""
        number = self.assets.random_texture(self.dice, kind)
        if number is None:
            return None
        return PHOTO + self.photos.setdefault(number, len(self.photos))

    def photo_paint(self, kind, size, share=.5, gloss=0.0):
        """A paint that shows a photograph `size` metres wide, or None in 1 - `share` of cases."""
        rng = self.dice
        if rng.random() >= share:
            return None
        texture = self.photo(kind)
        if texture is None:
            return None
        bright = rng.uniform(.7, 1.25)
        tint = tuple(bright * rng.uniform(.9, 1.1) for _ in range(3))
        return self.paint(tint, texture, tint, 1 / size, gloss)

    def surfaces(self):
        rng = self.dice
        faces = super().surfaces()
        floor = self.photo_paint('floor', rng.uniform(.3, 1.5), .6, rng.choice((0, 0, .2)))
        if floor is not None:
            faces[4] = floor
        for face in range(4):
            wall = self.photo_paint(rng.choice(('wall', 'wall', 'floor')), rng.uniform(.8, 4), .5)
            if wall is not None:
                faces[face] = wall
        return faces

    # -- where the camera is ----------------------------------------------------------------------

    def arm_view(self):
        """Looking down at a table, as from a robot's arm or head."""
        rng = self.dice
        self.table_height = rng.uniform(.4, .95) if rng.random() < .85 else .0
        above, away = rng.uniform(.3, 1.0), rng.uniform(.3, 1.15)
        pitch = math.degrees(math.atan2(above, away)) + rng.gauss(0, 4)
        self.table_middle = away + rng.uniform(-.05, .25)
        return {'position': (0.0, 0.0, self.table_height + above), 'yaw': rng.uniform(0, 360),
                'pitch': min(80, pitch), 'roll': rng.gauss(0, 3),
                'field_of_view': rng.uniform(42, 72),
                'aspect': rng.choices((4 / 3, 16 / 9, 1.0), (.5, .25, .25))[0]}

    # -- what stands about ------------------------------------------------------------------------

    def thing(self, category):
        if category not in CATEGORIES:
            category = THING
        return super().thing(category)

    def random_thing(self):
        rng, real = self.dice, self.has_things()
        kinds = (super().random_thing, self.real_thing, self.chair, self.shelf, self.plant,
                 self.garment, self.parcel, self.stool, self.crate, self.bed, self.sofa)
        weights = (.2, .24 * real, .12, .08, .07, .13 * real, .1, .04, .05, .03, .07)
        rng.choices(kinds, weights)[0]()

    def building(self):
        rng = self.dice
        if self.kind == 'tabletop':
            self.tabletop()
        super().building()
        if self.kind in ('room', 'corridor', 'tabletop'):
            if rng.random() < .35:
                self.counter()
            for _ in range(rng.choice((0, 0, 1, 2, 4))):
                self.on_wall()
        if rng.random() < .3:
            self.rug()

    def on_wall(self):
        """A door, a window, or a poster with a photograph."""
        rng = self.dice
        if rng.random() < .08:          # a screen on the wall
            half, number = rng.uniform(.3, .7), self.thing('tv')
            image = self.photo_paint('scene', 2 * half, .6) or self.paint((.01, .01, .02), gloss=.5)
            self.against_wall(half, rng.uniform(.03, .1), rng.uniform(.7, 1.3), 1.1 * half, number,
                              image)
            return
        size = rng.uniform(.3, 1.1)
        paint = self.photo_paint('scene', size, .5, rng.choice((0, .1)))
        if paint is None:
            super().on_wall()
            return
        room = self.high[2]
        height = min(size * rng.uniform(.6, 1.0), room - .4)
        self.against_wall(size / 2, rng.uniform(.005, .03),
                          rng.uniform(.3, max(.35, room - height - .1)), height, WALL, paint)

    def tabletop(self):
        """A table before the camera with things on it; a floor with them where it has no height."""
        rng = self.dice
        yaw = math.radians(self.view['yaw'])
        spot = (math.cos(yaw) * self.table_middle, math.sin(yaw) * self.table_middle)
        half = (rng.uniform(.3, .8), rng.uniform(.3, .6))
        if rng.random() < .35:          # its edges are out of sight
            half = (rng.uniform(.8, 1.6), rng.uniform(.6, 1.1))
        turn = yaw + math.pi / 2 + rng.choice((0.0, rng.gauss(0, .5)))
        if self.table_height:
            self.build_table(spot, half, self.table_height, turn)
        self.on_table = []
        spread = rng.uniform(.15, .45)      # a heap in the middle, or all over
        seen = (min(half[0], spread), min(half[1], spread * rng.uniform(.6, 1)))
        height = self.table_height
        if rng.random() < .15:
            height = self.bin(spot, rng.uniform(.2, .35), height, turn)
            seen = (.16, .16)
        for _ in range(rng.randint(1, 4 + round(9 * rng.random()))):
            self.put_on(spot, seen, turn, height)
        if rng.random() < .15:
            self.screen((spot[0] + math.cos(yaw) * .3, spot[1] + math.sin(yaw) * .3),
                        self.table_height)
        if rng.random() < .25:
            self.arm(spot)
        if self.table_height and rng.random() < .15:
            self.sitter(spot, half[1], turn)
        self.on_table = None

    def build_table(self, spot, half, height, yaw):
        super().build_table(spot, half, height, yaw)
        top = self.photo_paint(self.dice.choice(('floor', 'floor', 'cloth')),
                               self.dice.uniform(.3, 1.2), .5, self.dice.choice((0, .15)))
        if top is not None:       # a cloth, or a board, of its own
            number = int(self.parts[-1].instance[0])
            self.parts.append(shapes.boxes([(*spot, height)], (half[0] * .99, half[1] * .99, .002),
                                           yaw, number, top))

    def put_on(self, spot, half, yaw, height):
        """A small thing on a table, a shelf or a box, beside those that are there."""
        rng = self.dice
        size = min(rng.uniform(.035, .14), max(.06, .55 * min(half[:2])))
        for _ in range(6):
            a, b = (rng.uniform(-1, 1) * max(.01, h - size) for h in half[:2])
            if self.on_table is None or all(
                    math.hypot(a - x, b - y) > .62 * (size + r) for x, y, r in self.on_table):
                break
        else:
            return
        if self.on_table is not None:
            self.on_table.append((a, b, size))
        x = spot[0] + a * math.cos(yaw) - b * math.sin(yaw)
        y = spot[1] + a * math.sin(yaw) + b * math.cos(yaw)
        self.small((x, y), size, height)

    def small(self, spot, size, bottom):
        rng = self.dice
        kinds = (super().small, self.bottle, self.cup, self.bowl, self.carton, self.book,
                 self.fruit, self.small_real)
        weights = (.16, .12, .13, .08, .16, .08, .07, .3 * self.has_things())
        rng.choices(kinds, weights)[0](spot, size, bottom)

    # Each of these: `spot` (x, y), `size` about half of its width in metres, `bottom` z.

    def bottle(self, spot, size, bottom):
        rng, (x, y) = self.dice, spot
        radius = min(.045, max(.018, size * .5))
        tall = radius * rng.uniform(3.2, 6)
        paint, number = self.coat(self.vivid(), gloss=rng.uniform(.2, .8)), self.thing('bottle')
        neck, body = radius * rng.uniform(.3, .5), tall * rng.uniform(.5, .75)
        add = self.parts.append
        add(shapes.cylinders([(x, y, bottom + body / 2)], [UP], [radius], body / 2, number, paint))
        add(shapes.round_cones(np.array([[x, y, bottom + body]]),
                               np.array([[x, y, bottom + body + (tall - body) * .5]]),
                               np.array([radius]), np.array([neck]), np.array([[1.0, 0, 0]]),
                               np.array([1.0]), number, paint))
        cap = self.paint(self.vivid()) if rng.random() < .7 else paint
        add(shapes.cylinders([(x, y, bottom + tall * .9)], [UP], [neck], tall * .1, number, cap))
        if rng.random() < .6:
            label = self.photo_paint('goods', .06, 1) or self.coat(self.vivid(), (5, 20), 0)
            add(shapes.cylinders([(x, y, bottom + body * .5)], [UP], [radius * 1.02], body * .25,
                                 number, label))

    def cup(self, spot, size, bottom):
        """A cup, or with a low wall a pan: a ring of walls about a floor, and perhaps a handle."""
        rng = self.dice
        radius = min(.05, max(.028, size * .6))
        number = self.thing('cup')
        paint = self.coat(self.vivid(), (3, 12), gloss=rng.uniform(0, .6))
        tall = radius * rng.uniform(1.5, 2.8)
        self.vessel(spot, radius, radius * rng.uniform(.7, 1), tall, bottom, number, paint)
        if rng.random() < .7:
            self.handle(spot, radius, tall, bottom, number, paint)

    def bowl(self, spot, size, bottom):
        rng = self.dice
        radius = min(.15, max(.05, size))
        number = self.thing('bowl')
        paint = self.coat(self.vivid(), (2, 8), gloss=rng.uniform(0, .6))
        self.vessel(spot, radius, radius * rng.uniform(.4, .75), radius * rng.uniform(.35, .9),
                    bottom, number, paint)

    def vessel(self, spot, upper, lower, tall, bottom, number, paint):
        """An open vessel of thin walls: its radii above and below, its height."""
        x, y = spot
        count = 14
        angle = np.arange(count) * (2 * math.pi / count)
        out = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
        foot, rim = np.array([x, y, bottom]), np.array([x, y, bottom + tall])
        start, end = foot + out * lower, rim + out * upper
        along = end - start
        length = np.sqrt((along ** 2).sum(axis=1))
        turn = shapes.frames(along / length[:, None],
                             np.stack([-out[:, 1], out[:, 0], out[:, 2]], axis=1))
        wall = max(.002, .05 * upper)
        half = np.stack([np.full(count, 1.06 * upper * math.pi / count), np.full(count, wall),
                         length / 2], axis=1)
        walls = shapes.boxes((start + end) / 2, half, 0, number, paint)
        walls.turn = turn
        self.parts.append(walls)
        self.parts.append(shapes.cylinders([(x, y, bottom + wall)], [UP], [lower], wall, number,
                                           paint))
        if self.dice.random() < .4:        # what is in it
            full = self.paint(tuple(c * .6 for c in self.vivid()), gloss=.3)
            level = self.dice.uniform(.5, .85)
            radius = lower + (upper - lower) * level - wall
            self.parts.append(shapes.cylinders([(x, y, bottom + tall * level / 2)], [UP], [radius],
                                               tall * level / 2, number, full))

    def handle(self, spot, radius, tall, bottom, number, paint):
        heading = self.dice.uniform(0, 2 * math.pi)
        way = np.array([math.cos(heading), math.sin(heading), 0])
        angle = np.linspace(-1.35, 1.35, 5)
        middle = np.array([*spot, bottom + tall * .5]) + way * radius * .95
        points = middle + np.cos(angle)[:, None] * way * radius * .7 + (
            np.sin(angle)[:, None] * np.array(UP) * tall * .32)
        thick = np.full(4, max(.003, radius * .11))
        self.parts.append(shapes.round_cones(points[:-1], points[1:], thick, thick,
                                             np.tile(np.cross(way, UP), (4, 1)), np.full(4, 1.0),
                                             number, paint))

    def carton(self, spot, size, bottom):
        """A package with a photograph of goods on it, or a can."""
        rng, (x, y) = self.dice, spot
        paint = self.photo_paint('goods', rng.uniform(.8, 1.6) * size, .8) or self.coat(
            self.vivid(), (4, 12), 0)
        if rng.random() < .3:
            half = size * rng.uniform(.7, 1.3)
            self.parts.append(shapes.cylinders([(x, y, bottom + half)], [UP], [size * .6], half,
                                               self.thing('cylinder'), paint))
            return
        half = size * np.array([rng.uniform(.4, 1), rng.uniform(.2, .7), rng.uniform(.3, 1.5)])
        self.parts.append(shapes.boxes([(x, y, bottom + half[2])], half, rng.uniform(0, 3.1),
                                       self.thing('box'), paint))

    def book(self, spot, size, bottom):
        """Books, one upon the other."""
        rng, (x, y) = self.dice, spot
        for _ in range(rng.choice((1, 1, 2, 3))):
            paint = self.photo_paint('scene', 2 * size, .5) or self.coat(self.vivid(), (4, 12))
            half = size * np.array([rng.uniform(.7, 1.1), rng.uniform(.5, .9),
                                    rng.uniform(.06, .25)])
            self.parts.append(shapes.boxes([(x, y, bottom + half[2])], half, rng.uniform(0, 3.1),
                                           self.thing('box'), paint))
            bottom += 2 * half[2]

    def fruit(self, spot, size, bottom):
        """A fruit: round, or bent like a banana."""
        rng, (x, y) = self.dice, spot
        paint = self.paint(hsv(rng.choice((.02, .08, .13, .16, .25, .33)), rng.uniform(.6, .95),
                               rng.uniform(.4, .9)), NAMES.index('cloudy'),
                           hsv(rng.uniform(0, .2), .6, rng.uniform(.2, .7)), 8, rng.uniform(0, .4))
        radius = min(.05, max(.025, size * .5))
        number = self.thing('fruit')
        if rng.random() < .7:
            flat = rng.uniform(.8, 1.15)
            self.parts.append(shapes.ellipsoids([(x, y, bottom + radius * flat)], np.eye(3)[None],
                                                [(radius, radius, radius * flat)], number, paint))
            return
        heading = rng.uniform(0, 2 * math.pi)
        angle = heading + np.linspace(0, 1.5, 5)
        points = np.stack([x + 3 * radius * (np.cos(angle) - np.cos(angle).mean()),
                           y + 3 * radius * (np.sin(angle) - np.sin(angle).mean()),
                           np.full(5, bottom + radius * .6)], axis=1)
        thick = radius * np.array([.3, .55, .6, .5, .2])
        self.parts.append(shapes.round_cones(points[:-1], points[1:], thick[:-1], thick[1:],
                                             np.tile(UP, (4, 1)), np.full(4, 1.0), number, paint))

    def bin(self, spot, half, bottom, yaw):
        """An open box; returns the height of its floor."""
        rng = self.dice
        tall, wall = half * rng.uniform(.3, .9), rng.uniform(.004, .015)
        paint = self.photo_paint('goods', 1, .1) or self.coat(self.vivid())
        parts = [(0, 0, bottom + wall, half, half * .8, wall)]
        parts += [(side * half, 0, bottom + tall / 2, wall, half * .8, tall / 2)
                  for side in (-1, 1)]
        parts += [(0, side * half * .8, bottom + tall / 2, half, wall, tall / 2)
                  for side in (-1, 1)]
        self.place(spot, yaw, parts, self.thing('box'), paint)
        return bottom + 2 * wall

    def crate(self):
        """An open box on the floor with things in it."""
        rng = self.dice
        half = rng.uniform(.18, .35)
        spot = self.spot(half * 1.3, self.near(), 3.0)
        if not spot:
            return
        yaw = rng.uniform(0, math.pi)
        floor = self.bin(spot, half, 0.0, yaw)
        self.on_table = []
        for _ in range(rng.randint(0, 5)):
            self.put_on(spot, (half * .8, half * .6), yaw, floor)
        self.on_table = None

    def screen(self, spot, bottom):
        """A monitor, with a keyboard before it."""
        rng = self.dice
        wide = rng.uniform(.18, .32)
        tall, number = wide * rng.uniform(.55, .8), self.thing('tv')
        dark = self.paint((rng.uniform(.02, .2),) * 3, gloss=.2)
        image = self.photo_paint('scene', 2 * wide, .7) or self.paint((.01, .01, .02), gloss=.5)
        away = math.atan2(spot[1], spot[0]) - math.pi / 2
        up = bottom + .08 + tall
        self.place(spot, away, [(0, .02, up, wide, .015, tall),
                                (0, .03, bottom + .06, .02, .02, .06),
                                (0, .03, bottom + .006, wide * .4, .09, .006)], number, dark)
        self.place(spot, away, [(0, .003, up, wide * .95, .003, tall * .93)], number, image)
        if rng.random() < .5:
            self.place(spot, away, [(0, -.2, bottom + .008, wide * .8, .07, .008)],
                       self.thing('keyboard'), self.coat((rng.uniform(.03, .7),) * 3, (8, 20), 0))

    def arm(self, spot):
        """A robot's arm that reaches into the picture from above or from a side."""
        rng = self.dice
        yaw = math.radians(self.view['yaw'])
        height = self.view['position'][2]
        side = rng.uniform(-1, 1)
        base = np.array([math.cos(yaw + side), math.sin(yaw + side), 0]) * rng.uniform(.05, .3)
        base[2] = height + rng.uniform(-.15, .1)
        tip = np.array([spot[0] + rng.gauss(0, .15), spot[1] + rng.gauss(0, .15),
                        self.table_height + rng.uniform(.12, .4)])
        elbow = (base + tip) / 2 + np.array([rng.gauss(0, .15), rng.gauss(0, .15),
                                             rng.uniform(.0, .3)])
        number = self.thing('robot')
        colours = [self.paint((rng.uniform(.02, .9),) * 3, gloss=.3), self.coat(self.vivid())]
        thick = rng.uniform(.025, .05)
        points = np.stack([base, elbow, tip, tip - (0, 0, .06)])
        radii = np.array([thick * 1.2, thick, thick * .8, thick * .7])
        self.parts.append(shapes.round_cones(points[:-1], points[1:], radii[:-1], radii[1:],
                                             np.tile([1.0, .2, 0], (3, 1)), np.full(3, 1.0), number,
                                             [rng.choice(colours) for _ in range(3)]))
        turn, gap = rng.uniform(0, math.pi), rng.uniform(.015, .05)
        for sign in (-1, 1):
            centre = tip + np.array([math.cos(turn) * gap * sign, math.sin(turn) * gap * sign,
                                     -.06 - thick * .7 - .03])
            self.parts.append(shapes.boxes([centre], (.008, .012, .04), turn, number, colours[0]))

    def sitter(self, spot, half, turn):
        """Somebody behind the table."""
        rng = self.dice
        yaw = math.radians(self.view['yaw'])
        distance = self.table_middle + half + rng.uniform(.25, .5)
        place = (math.cos(yaw) * distance, math.sin(yaw) * distance)
        if self.free(*place, .2):
            self.figure(place, yaw + math.pi + rng.gauss(0, .3), sitting=rng.random() < .5)

    # -- furniture --------------------------------------------------------------------------------

    def place(self, spot, yaw, parts, number, paint):
        """Boxes (a, b, z, half a, half b, half z) about a spot, turned by `yaw` radians."""
        cos, sin = math.cos(yaw), math.sin(yaw)
        x, y = spot
        self.parts.append(shapes.boxes(
            [(x + a * cos - b * sin, y + a * sin + b * cos, c) for a, b, c, *_ in parts],
            [part[3:] for part in parts], yaw, number, paint))

    def chair(self):
        rng = self.dice
        half, seat, back = rng.uniform(.19, .25), rng.uniform(.4, .5), rng.uniform(.3, .55)
        spot = self.spot(half * 1.4, self.near() + .2, self.far())
        if not spot:
            return
        frame = self.coat(self.wood() if rng.random() < .5 else self.vivid())
        cover = self.photo_paint('cloth', rng.uniform(.2, .6), .4) or frame
        number, leg, yaw = self.thing('chair'), rng.uniform(.012, .025), rng.uniform(0, 6.3)
        inset = half - leg
        legs = [(a * inset, b * inset, seat / 2, leg, leg, seat / 2)
                for a in (-1, 1) for b in (-1, 1)]
        posts = [(a * inset, inset, seat + back / 2, leg, leg, back / 2) for a in (-1, 1)]
        self.place(spot, yaw, [*legs, *posts], number, frame)
        low = rng.uniform(0, .5) * back
        self.place(spot, yaw, [(0, 0, seat, half, half, rng.uniform(.012, .04)),
                               (0, inset, seat + (back + low) / 2, half, leg, (back - low) / 2)],
                   number, cover)
        if rng.random() < .25:
            self.put_on(spot, (half, half), yaw, seat + .03)

    def sofa(self):
        """See `Draw.sofa`."""
        self.renamed('sofa', super().sofa)

    def coat(self, colour, scale=(.5, 2), plain=.7, gloss=0.0):
        """See `Draw.coat`; now and then cloth or another surface of a photograph."""
        rng = self.dice
        kind, size = rng.choice(('cloth', 'floor')), 1 / rng.uniform(*scale)
        cloth = self.photo_paint(kind, size, .12, gloss)
        return super().coat(colour, scale, plain, gloss) if cloth is None else cloth

    def cupboard(self):
        """See `Draw.cupboard`."""
        self.renamed('cupboard', super().cupboard)

    def renamed(self, category, draw):
        """Draws a thing that `Draw` calls a box."""
        number = len(self.categories) + 1
        draw()
        if number in self.categories:
            self.categories[number] = category if category in CATEGORIES else THING

    def stool(self):
        rng = self.dice
        radius, seat = rng.uniform(.14, .2), rng.uniform(.4, .75)
        spot = self.spot(radius, self.near(), self.far())
        if not spot:
            return
        number, paint = self.thing('chair'), self.coat(self.wood())
        self.parts.append(shapes.cylinders([(*spot, seat)], [UP], [radius], .02, number, paint))
        angles = np.arange(4) * math.pi / 2 + rng.uniform(0, 1.5)
        out = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
        foot = np.array([*spot, .015]) + out * radius * 1.1
        head = np.array([*spot, seat]) + out * radius * .6
        thick = np.full(4, .014)
        self.parts.append(shapes.round_cones(foot, head, thick, thick, out, np.full(4, 1.0), number,
                                             paint))

    def bed(self):
        """A bed with a pillow, or a sofa's seat."""
        rng = self.dice
        half, seat = (rng.uniform(.45, .9), rng.uniform(.9, 1.05)), rng.uniform(.3, .55)
        spot = self.spot(1.1, 1.9, self.far() + .5)
        if not spot:
            return
        yaw, number = rng.uniform(0, 2 * math.pi), self.thing('bed')
        cover = self.photo_paint('cloth', rng.uniform(.4, 1.2), .7) or self.coat(self.vivid())
        frame = self.coat(self.wood())
        self.place(spot, yaw, [(0, 0, seat / 2, *half, seat / 2)], number, cover)
        self.place(spot, yaw, [(0, half[1], seat * .8, half[0], .03, seat * .8)], number, frame)
        cos, sin = math.cos(yaw), math.sin(yaw)
        for side in (-.5, .5):
            a, b = side * half[0], half[1] - .3
            self.parts.append(shapes.ellipsoids(
                [(spot[0] + a * cos - b * sin, spot[1] + a * sin + b * cos, seat + .04)],
                shapes.upright(np.array([yaw])), [(half[0] * .42, .22, .09)], number,
                self.paint((rng.uniform(.5, .9),) * 3)))

    def counter(self):
        """A row of cupboards along a wall, with doors, a worktop and things on it."""
        rng = self.dice
        long, deep, tall = rng.uniform(.5, 1.6), rng.uniform(.28, .35), rng.uniform(.7, .95)
        before = len(self.parts)
        paint = self.coat(self.wood() if rng.random() < .5 else self.pale(), gloss=.1)
        number = self.thing('cupboard')
        self.against_wall(long, 2 * deep, 0, tall, number, paint, True, gap=.1)
        if len(self.parts) == before:
            return
        body = self.parts[-1]
        centre, half = body.centre[0], body.scale[0]
        axis = int(half[0] > half[1])           # across the wall
        sign = -1 if centre[axis] > 0 else 1
        front = centre[axis] + sign * half[axis]
        top = self.photo_paint('floor', rng.uniform(.3, 1), .5, .2) or self.coat(self.wood())
        slab = half.copy()
        slab[2], slab[axis] = .02, half[axis] + .01
        self.parts.append(shapes.boxes([(centre[0], centre[1], tall + .02)], slab, 0, number, top))
        doors = max(1, round(long / rng.uniform(.2, .35)))
        along = 1 - axis
        panel, knob = np.full(3, .008), self.paint((rng.uniform(.1, .8),) * 3, gloss=.8)
        panel[along], panel[2] = half[along] / doors * .93, tall * .43
        spots = np.tile(centre, (doors, 1))
        spots[:, along] += (np.arange(doors) + .5) / doors * 2 * half[along] - half[along]
        spots[:, axis] = front
        self.parts.append(shapes.boxes(spots, panel, 0, number, self.coat(self.pale())
                                       if rng.random() < .4 else paint))
        spots[:, axis] += sign * .02
        spots[:, along] += panel[along] * .8
        spots[:, 2] = tall * rng.uniform(.5, .85)
        self.parts.append(shapes.boxes(spots, (.012, .012, rng.choice((.012, .06))), 0, number,
                                       knob))
        self.on_table = []
        for _ in range(rng.randint(0, 7)):
            self.put_on(centre[:2], half[:2] * .9, 0, tall + .04)
        self.on_table = None
        if rng.random() < .5 and self.high[2] > 2.2:       # wall cupboards
            upper = half.copy()
            upper[2], upper[axis] = rng.uniform(.25, .4), half[axis] * .55
            place = centre.copy()
            place[axis] -= sign * half[axis] * .45
            place[2] = rng.uniform(1.5, 1.6) + upper[2]
            self.parts.append(shapes.boxes([place], upper, 0, self.thing('cupboard'), paint))

    def rug(self):
        """A rug; it is floor."""
        rng = self.dice
        paint = self.photo_paint(rng.choice(('cloth', 'floor')), rng.uniform(.3, 1.5), .8)
        if paint is None:
            return
        place = self.ahead(.8, 3.5)
        half = (rng.uniform(.4, 1.2), rng.uniform(.3, .8), .002)
        rug = shapes.boxes([(*place, .002)], half, rng.uniform(0, math.pi), FLOOR, paint, False)
        self.parts.append(rug)

    def shelf(self):
        """An open shelf with things in it."""
        rng = self.dice
        half, deep, tall = rng.uniform(.3, .6), rng.uniform(.13, .22), rng.uniform(.7, 2.0)
        tall = min(tall, self.high[2] - .1)
        spot = self.spot(math.hypot(half, deep), self.near() + .4, self.far())
        if not spot:
            return
        paint = self.coat(self.wood() if rng.random() < .6 else self.pale())
        number, thick = self.thing('shelf'), .012
        boards = rng.randint(2, 5)
        # its open side mostly towards the camera
        yaw = math.atan2(spot[1], spot[0]) - math.pi / 2 + rng.gauss(0, .5)
        levels = [thick + k * (tall - 2 * thick) / boards for k in range(boards + 1)]
        parts = [(0, 0, z, half, deep, thick) for z in levels]
        parts += [(side * half, 0, tall / 2, thick, deep, tall / 2) for side in (-1, 1)]
        if rng.random() < .6:
            parts.append((0, deep, tall / 2, half, .006, tall / 2))
        self.place(spot, yaw, parts, number, paint)
        space = (tall - 2 * thick) / boards
        for z in levels[:-1]:
            self.on_table = []
            for _ in range(rng.randint(0, 4)):
                if space > .2:
                    self.put_on(spot, (half * .9, deep * .8), yaw, z + thick)
        self.on_table = None

    def plant(self):
        rng = self.dice
        tall, radius = rng.uniform(.25, 1.3), rng.uniform(.08, .2)
        spot = self.spot(radius * 1.6, self.near(), self.far())
        if not spot:
            return
        number, pot = self.thing('plant'), radius * rng.uniform(.8, 1.6)
        self.parts.append(shapes.cylinders([(*spot, pot / 2)], [UP], [radius], pot / 2, number,
                                           self.coat(self.vivid())))
        green = [self.paint(hsv(rng.uniform(.2, .4), rng.uniform(.4, .9), rng.uniform(.1, .5)),
                            NAMES.index('grain'), (.1, .2, .05), 6, .2) for _ in range(2)]
        count = rng.randint(8, 18)
        top = np.array([*spot, pot])
        ends = np.array([(rng.gauss(0, .35), rng.gauss(0, .35), rng.uniform(.25, 1))
                         for _ in range(count)]) * tall
        thick = np.full(count, .006)
        side = np.tile([1.0, .1, 0], (count, 1))
        self.parts.append(shapes.round_cones(np.repeat(top[None], count, 0), top + ends * .8, thick,
                                             thick, side, np.full(count, 1.0), number, green[0]))
        along = ends / np.linalg.norm(ends, axis=1, keepdims=True)
        droop = along - np.array([0, 0, rng.uniform(.0, 1.2)])
        droop /= np.linalg.norm(droop, axis=1, keepdims=True)
        leaf = tall * rng.uniform(.08, .22)
        turn = shapes.frames(droop, side)
        radii = np.tile([leaf * .45, leaf * .08, leaf], (count, 1))
        self.parts.append(shapes.ellipsoids(top + ends * .8 + droop * leaf * .7, turn, radii,
                                            number, [rng.choice(green) for _ in range(count)]))

    def parcel(self):
        """A box with a photograph on it, and perhaps more upon it."""
        rng = self.dice
        half = np.array([rng.uniform(.1, .35) for _ in range(3)])
        radius = math.hypot(half[0], half[1])
        spot = self.spot(radius, self.near() + radius - .25, self.far())
        if not spot:
            return
        yaw = rng.uniform(0, math.pi)
        kind = rng.choice(('goods', 'goods', 'cloth', 'scene'))
        paint = self.photo_paint(kind, 2 * half.max() * rng.uniform(.5, 1), .8) or self.coat(
            self.vivid())
        self.parts.append(shapes.boxes([(*spot, half[2])], half, yaw, self.thing('box'), paint))
        for _ in range(rng.choice((0, 0, 1, 2))):
            self.put_on(spot, half[:2], yaw, 2 * half[2])

    # -- cut-outs ---------------------------------------------------------------------------------

    def has_things(self):
        """Whether there are cut-outs of things."""
        return bool(self.assets.cutouts and self.assets.cutouts.things)

    def named(self, entry):
        """A new instance of a cut-out thing."""
        number = self.thing(category_of(entry))
        self.unsure[number] = unsure_of(entry)
        return number

    def gain(self):
        rng = self.dice
        bright = rng.uniform(.75, 1.5)
        return tuple(bright * rng.uniform(.93, 1.07) for _ in range(3))

    def rgba(self, entry):
        """Its picture, mirrored as often as not, and whether it is."""
        rgba = self.assets.cutouts.image(entry)
        flip = entry['kind'] != 'person' and self.dice.random() < .5
        return (rgba[:, ::-1] if flip else rgba), flip

    def stand(self, entry, spot, bottom, longest, number):
        """Stands a cut-out like cardboard; its longer side is `longest` metres."""
        rng = self.dice
        rgba, _ = self.rgba(entry)
        high, wide = rgba.shape[:2]
        size = longest * wide / max(high, wide), longest * high / max(high, wide)
        facing = math.atan2(spot[1], spot[0]) + rng.gauss(0, .25)
        right = np.array([math.sin(facing), -math.cos(facing), 0.0])
        foot = np.array([*spot, bottom - .01 * size[1]])
        self.boards.append(Billboard(rgba, foot, right, np.array(UP), size, number, self.gain()))
        half = .5 * size[1]
        self.phantoms.append(shapes.ellipsoids(
            [(*spot, bottom + half)], shapes.frames(np.array([UP], float), right[None]),
            [(.42 * size[0], .2 * size[0], half)], number, 0))

    def lay(self, entry, spot, height, longest, number):
        """Lays a cut-out on a table or the floor."""
        rgba, _ = self.rgba(entry)
        high, wide = rgba.shape[:2]
        size = longest * wide / max(high, wide), longest * high / max(high, wide)
        turn = self.dice.uniform(0, 2 * math.pi)
        right = np.array([math.cos(turn), math.sin(turn), 0.0])
        up = np.array([-math.sin(turn), math.cos(turn), 0.0])
        foot = np.array([*spot, height + .004]) - up * size[1] / 2
        self.boards.append(Billboard(rgba, foot, right, up, size, number, self.gain(), lit=True))

    def real_thing(self):
        """A cut-out thing that stands on the floor."""
        entry = self.assets.cutouts.thing(self.dice.random())
        long = entry['metres']
        spot = self.spot(max(.1, .4 * long), self.near(), self.far())
        if spot:
            long = max(long, min(2.5 * long, LEAST_SEEN * 1.5 * math.hypot(*spot)))
            self.stand(entry, spot, 0.0, long, self.named(entry))

    def garment(self):
        """A cut-out that lies on the floor."""
        entry = self.assets.cutouts.thing(self.dice.random(), flat=True)
        spot = entry and self.spot(.35 * entry['metres'], .8, 3.5)
        if spot:
            self.lay(entry, spot, 0.0, entry['metres'], self.named(entry))

    def small_real(self, spot, size, bottom):
        """A cut-out that stands or lies on a table."""
        rng = self.dice
        entry = self.assets.cutouts.thing(rng.random())
        long = min(entry['metres'], rng.uniform(1.6, 3.2) * size)
        if entry['flat'] and rng.random() < .7:
            self.lay(entry, spot, bottom, 1.2 * long, self.named(entry))
        else:
            self.stand(entry, spot, bottom, long, self.named(entry))

    # -- people -----------------------------------------------------------------------------------

    def person(self):
        rng = self.dice
        people = self.assets.cutouts.people if self.assets.cutouts else ()
        if people and rng.random() < .5:
            self.real_person(rng.choice(people))
            return
        if rng.random() < .35:          # close, so that parts of them are out of the picture
            spot = self.spot(.3, .7, 1.6)
            if spot:
                heading = math.atan2(-spot[1], -spot[0]) + rng.gauss(0, .9)
                self.figure(spot, heading)
            return
        super().person()

    def figure(self, spot, heading, sitting=None):
        """A mannequin in photographed clothes at a spot; `sitting`: None, whatever it does."""
        rng = self.dice
        body = self.dressed(mannequin.random_body(rng, .3))
        for _ in range(20):
            kind, pose = mannequin.random_pose(rng)
            if sitting is None or (kind == 'sitting') == sitting:
                break
        self.add_figure(body, kind, pose, spot, heading)

    def dressed(self, body):
        """A body with shirt and trousers of photographed cloth, in some cases."""
        rng = self.dice
        for name in ('shirt', 'trouser'):
            texture = self.photo('cloth') if rng.random() < .6 else None
            if texture is not None:
                bright = rng.uniform(.7, 1.2)
                colour = tuple(bright * rng.uniform(.85, 1.15) for _ in range(3))
                setattr(body, 'shirt' if name == 'shirt' else 'trousers', colour)
                setattr(body, f'{name}_texture', texture)
        return body

    def real_person(self, entry):
        """A photographed person: whole ones stand on the floor, others reach out of the picture
        or are behind something."""
        rng = self.dice
        tall = entry['metres'] * rng.uniform(.93, 1.08)
        whole = entry.get('whole') and 'bottom' not in entry['cut']
        camera = self.view['position'][2]
        bottom = 0.0
        if whole:
            spot = self.spot(.35, 1.8, 3.0 + 4 * rng.random())
        else:
            # so near that the cut is below the picture's lower edge
            half = math.tan(math.radians(self.view['field_of_view']) / 2) / self.view['aspect']
            tilt = min(math.radians(self.view['pitch']) + math.atan(half), 1.4)
            reach = camera / math.tan(max(tilt, .1))
            spot = self.spot(.25, min(.6, .8 * reach), min(2.4, reach))
            if spot:
                low = camera - math.hypot(*spot) * math.tan(tilt) - .03
                bottom = max(low - rng.uniform(0, .15), 0.0)
        if not spot:
            return
        number = self.thing('person')
        rgba, _ = self.rgba(entry)
        high, wide = rgba.shape[:2]
        size = tall * wide / high, tall
        facing = math.atan2(spot[1], spot[0]) + rng.gauss(0, .12)
        right = np.array([math.sin(facing), -math.cos(facing), 0.0])
        self.boards.append(Billboard(rgba, np.array([*spot, bottom]), right, np.array(UP), size,
                                     number, self.gain(),
                                     keypoints=np.array(entry['keypoints'], float)))
        self.phantoms.append(shapes.ellipsoids(
            [(*spot, bottom + tall / 2)], shapes.frames(np.array([UP], float), right[None]),
            [(.4 * size[0], .13, tall / 2)], number, 0))
