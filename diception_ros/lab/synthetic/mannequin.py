# SPDX-License-Identifier: Apache-2.0
"""People: mannequins of round cones with proportions, clothes and a pose, and their 17 keypoints.

A body's own frame: x forward, y left, z up, the pelvis at the origin; metres. Proportions are
fractions of the body's height.
"""

import math
from dataclasses import dataclass

import numpy as np

from diception_ros.lab.synthetic.solids import ellipsoids, round_cones, stack
from diception_ros.lab.synthetic.textures import NAMES

SKIN = ((.94, .76, .65), (.88, .68, .55), (.78, .57, .43), (.62, .42, .30), (.45, .30, .21),
        (.32, .21, .15))
HAIR = ((.06, .05, .05), (.13, .09, .06), (.26, .16, .09), (.45, .31, .17), (.70, .56, .33),
        (.55, .53, .52), (.40, .17, .08))


@dataclass
class Body:
    """What a person is like; colours are linear RGB in [0, 1], None: no such thing."""

    height: float            # metres
    build: float             # width of trunk and limbs, 1 = average
    limbs: float             # thickness of the limbs besides, 1 = average
    skin: tuple
    hair: tuple
    shirt: tuple
    trousers: tuple
    shoes: tuple
    shirt_texture: int = 0
    trouser_texture: int = 0
    second: tuple = (.5, .5, .5)
    long_sleeves: bool = True
    long_trousers: bool = True
    skirt: bool = False
    long_hair: bool = False
    bald: bool = False
    hat: tuple | None = None
    backpack: tuple | None = None
    mask: tuple | None = None
    dummy: bool = False      # no hair, no face, one cone for a trunk


@dataclass
class Pose:
    """Joint angles in radians; every pair is (left, right)."""

    hip: tuple = (0.0, 0.0)           # thigh forward
    hip_out: tuple = (0.05, 0.05)     # thigh outward
    knee: tuple = (0.05, 0.05)        # shin back
    shoulder: tuple = (0.0, 0.0)      # upper arm forward
    shoulder_out: tuple = (0.12, 0.12)
    elbow: tuple = (0.25, 0.25)       # forearm forward
    forearm_in: tuple = (0.0, 0.0)    # forearm towards the other side
    lean: float = 0.03                # trunk forward
    sway: float = 0.0                 # trunk to the left
    twist: float = 0.0                # shoulders to the left
    head_yaw: float = 0.0             # to the left
    head_pitch: float = 0.05          # down


def random_body(dice, textures=0.2):
    """A body; `dice` is a random.Random, `textures` the share of patterned clothes."""
    def cloth():
        if dice.random() < .4:
            grey = dice.choice((.04, .08, .15, .3, .5, .75, .9)) * dice.uniform(.8, 1.1)
            return tuple(min(1, grey * dice.uniform(.9, 1.1)) for _ in range(3))
        return hsv(dice.random(), dice.uniform(.3, .95), dice.uniform(.15, .9))

    def trousers():
        if dice.random() < .4:
            return hsv(dice.uniform(.57, .66), dice.uniform(.3, .7), dice.uniform(.1, .5))
        if dice.random() < .4:
            return cloth()
        return hsv(dice.uniform(.05, .12), dice.uniform(0, .5), dice.uniform(.05, .6))

    def pattern(share):
        return dice.randrange(1, len(NAMES)) if dice.random() < share else 0

    def maybe(share, colour):
        return colour if dice.random() < share else None

    body = Body(
        height=min(1.98, max(1.25, dice.gauss(1.72, .11))),
        build=min(1.45, max(.82, dice.gauss(1.06, .13))), limbs=dice.uniform(.85, 1.15),
        skin=tuple(c * dice.uniform(.95, 1.05) for c in dice.choice(SKIN)),
        hair=dice.choice(HAIR), shirt=cloth(), trousers=trousers(),
        shoes=cloth() if dice.random() < .4 else (dice.uniform(.02, .3),) * 3,
        shirt_texture=pattern(textures), trouser_texture=pattern(textures * .3), second=cloth(),
        long_sleeves=dice.random() < .6, long_trousers=dice.random() < .85,
        skirt=dice.random() < .1, long_hair=dice.random() < .35, bald=dice.random() < .06,
        hat=maybe(.08, cloth()), backpack=maybe(.1, cloth()), mask=maybe(.04, (.6, .75, .85)))
    if dice.random() < .08:      # overalls, or a dress
        body.trousers, body.trouser_texture = body.shirt, body.shirt_texture
    if dice.random() < .08:
        body.dummy = True
        body.hat = body.mask = body.backpack = None
        body.limbs = dice.uniform(.7, 1.3)
        if dice.random() < .5:
            body.skin = body.trousers = body.shirt
    return body


def hsv(hue, saturation, value):
    """RGB of a colour given by hue, saturation and value, all in [0, 1]."""
    def channel(shift):
        return min(1, max(0, abs((hue * 6 + shift) % 6 - 3) - 1))
    return tuple(value * (1 - saturation + saturation * channel(shift)) for shift in (0, 4, 2))


def walking(phase, speed=1.1):
    """The pose of a walk at `phase` (radians, one turn is two steps), `speed` in m/s."""
    amount = min(1.3, max(0, speed / 1.1))
    hips, knees, arms, elbows = [], [], [], []
    for shift in (0.0, math.pi):
        p = phase + shift
        hips.append(.42 * amount * math.sin(p) + .06 * amount)
        # the knee bends while the leg comes forward
        bend = max(0.0, math.cos(p + .35)) ** 2 * (.5 + .5 * math.cos(p))
        knees.append(.10 + .85 * amount * bend)
        arms.append(-.5 * amount * math.sin(p))
        elbows.append(.30 + .25 * amount * max(0.0, -math.sin(p)))
    return Pose(hip=tuple(hips), knee=tuple(knees), shoulder=tuple(arms), elbow=tuple(elbows),
                hip_out=(.03, .03), shoulder_out=(.13, .13), lean=.03 + .04 * amount,
                twist=-.10 * amount * math.sin(phase))


def random_pose(dice):
    """A pose and its name: walking, standing, reaching, sitting (needs a seat), crouching."""
    kind = dice.choices(('walking', 'standing', 'reaching', 'sitting', 'crouching'),
                        (.40, .25, .17, .14, .04))[0]

    def pair(low, high):
        return dice.uniform(low, high), dice.uniform(low, high)

    if kind == 'walking':
        pose = walking(dice.uniform(0, 2 * math.pi), dice.uniform(.5, 1.5))
    else:
        pose = Pose(hip=pair(-.08, .15), hip_out=pair(.02, .16), knee=pair(.0, .15),
                    shoulder=pair(-.3, .4), shoulder_out=pair(.05, .35), elbow=pair(.05, 1.0),
                    forearm_in=pair(-.1, .6), lean=dice.uniform(-.04, .12),
                    sway=dice.uniform(-.06, .06), twist=dice.uniform(-.25, .25))
        posture = dice.random()
        if posture < .1:        # hands at the hips
            pose.shoulder_out, pose.elbow = pair(.65, .8), pair(0, .2)
            pose.forearm_in = pair(1.6, 1.9)
        elif posture < .2:      # arms folded
            pose.shoulder_out, pose.elbow = pair(.1, .2), pair(1.3, 1.5)
            pose.forearm_in = pair(.9, 1.2)
        if kind == 'sitting':
            pose.hip = pair(1.35, 1.55)
            pose.knee = tuple(h + dice.uniform(-.25, .15) for h in pose.hip)
            pose.hip_out = (dice.uniform(.03, .3),) * 2
            pose.lean = dice.uniform(-.2, .25)
            pose.shoulder, pose.elbow = pair(.1, .7), pair(.4, 1.2)
        elif kind == 'crouching':
            pose.hip = pair(1.5, 2.0)
            pose.knee = tuple(h + dice.uniform(.4, .6) for h in pose.hip)
            pose.lean = dice.uniform(.3, .6)
            pose.shoulder, pose.elbow = pair(.2, 1.0), pair(.3, 1.2)
        elif kind == 'reaching':
            arms = dice.choices(((True, False), (False, True), (True, True)), (3, 3, 2))[0]
            for name, value in (('shoulder', dice.uniform(.8, 2.7)), ('elbow', dice.uniform(0, .5)),
                                ('shoulder_out', dice.uniform(0, .5))):
                rest = getattr(pose, name)
                setattr(pose, name, tuple(value if arm else r for arm, r in zip(arms, rest)))
            if dice.random() < .25:
                pose.lean = dice.uniform(.1, .5)
    pose.head_yaw = dice.gauss(0, .35)
    pose.head_pitch = dice.gauss(.06, .16)
    return kind, pose


def mannequin(body, pose, position, heading, instance, paint):
    """The solids of a person and the keypoints.

    `position`: (x, y) on the ground; `heading`: radians from the world's x axis to its y axis;
    `instance`: id of all solids; `paint`: a scene.Paints.
    Returns Solids, keypoints float64 (17, 3) in the world, and the body's thickness (17,) at each.
    """
    skeleton = Skeleton(body, pose)
    cones, balls = _dress(body, skeleton, paint)
    start, end, first, second, side, flat, paints = (list(column) for column in zip(*cones))
    centre, radii, ball_paints = (list(column) for column in zip(*balls))
    turn = np.repeat(np.array(skeleton.head_turn)[None], len(balls), 0)
    solids = stack([
        round_cones(np.array(start), np.array(end), np.array(first), np.array(second),
                    np.array(side), np.array(flat), instance, paints),
        ellipsoids(centre, turn, np.array(radii) * body.height, instance, ball_paints)])
    solids.casts[len(cones):] = np.max(radii, axis=1) > .02      # no shadows of eyelashes
    # Down to the ground, which the lowest sole touches, then to its place in the world.
    cos, sin = math.cos(heading), math.sin(heading)
    spin = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    place = np.array([position[0], position[1], -skeleton.lowest])
    solids.centre = solids.centre @ spin.T + place
    solids.turn = solids.turn @ spin.T
    h, w = body.height, body.height * body.build
    thickness = np.array([.012 * h, *[.014 * h] * 2, *[.022 * h] * 2, *[.046 * w] * 2,
                          *[.032 * w] * 2, *[.026 * w] * 2, *[.078 * w] * 2, *[.046 * w] * 2,
                          *[.033 * w] * 2]) + .012
    return solids, np.array(skeleton.joints()) @ spin.T + place, thickness


class Skeleton:
    """Where the joints of a body in a pose are, from the pelvis; pairs are (left, right)."""

    def __init__(self, body, pose):
        h, w = body.height, body.height * body.build
        self.height = h
        self._directions(pose)
        forward, _, up = self.trunk_turn
        across, self.across = self.shoulder_turn
        self.hip = [(0.0, side * .053 * w, 0.0) for side in (1, -1)]
        self.knee, self.ankle, self.toe, self.heel = [], [], [], []
        self.elbow, self.wrist, self.hand, self.shoulder = [], [], [], []
        self.throat = _along(_along((0, 0, 0), up, .337 * h), forward, .004 * h)
        for i, side in enumerate((1, -1)):
            out = pose.hip_out[i] * side
            back = pose.hip[i] - pose.knee[i]
            knee = _along(self.hip[i], _leg(pose.hip[i], out), .245 * h)
            ankle = _along(knee, _leg(back, out * .5), .240 * h)
            # a foot lies flat unless its shin points far back: then the heel comes up
            tilt = min(0.0, back + .45) * .9 + max(0.0, back - .05) * .5
            foot = math.cos(tilt), side * .12, math.sin(tilt)
            sole = _along(ankle, (math.sin(tilt), 0, -math.cos(tilt)), .022 * h)
            self.knee.append(knee)
            self.ankle.append(ankle)
            self.toe.append(_along(sole, foot, .105 * h))
            self.heel.append(_along(sole, foot, -.028 * h))

            shoulder = _along(_along((0, 0, 0), up, .285 * h), self.across, side * .093 * w)
            shoulder = _along(shoulder, across, .003 * h)
            out = pose.shoulder_out[i]
            lower = self._arm(pose.shoulder[i] + pose.elbow[i], out * .6 - pose.forearm_in[i], side)
            elbow = _along(shoulder, self._arm(pose.shoulder[i], out, side), .170 * h)
            wrist = _along(elbow, lower, .145 * h)
            self.shoulder.append(shoulder)
            self.elbow.append(elbow)
            self.wrist.append(wrist)
            self.hand.append(_along(wrist, lower, .050 * h))
        ahead, _, upright = self.head_turn
        self.head = _along(_along(self.throat, upright, .078 * h), ahead, .016 * h)
        # the undersides of the feet; deep bows may bring the hands lower
        self.lowest = min(p[2] - below * h for points, below in (
            (self.toe, .019), (self.heel, .023), (self.hand, .020)) for p in points)

    def joints(self):
        """The 17 keypoints in COCO order."""
        eyes = [self.face(.0500, side * .0185, .008) for side in (1, -1)]
        ears = [self.face(-.004, side * .0455, -.004) for side in (1, -1)]
        return [self.face(.0655, 0, -.012), *eyes, *ears, *self.shoulder, *self.elbow, *self.wrist,
                *self.hip, *self.knee, *self.ankle]

    def face(self, forward, left, up):
        """A point of the head, given in body heights from its middle."""
        point = self.head
        for direction, amount in zip(self.head_turn, (forward, left, up)):
            point = _along(point, direction, amount * self.height)
        return point

    def trunk(self, up, forward=0.0):
        """A point on the trunk's axis, metres above the pelvis and ahead."""
        return _along(_along((0.0, 0.0, 0.0), self.trunk_turn[2], up), self.trunk_turn[0], forward)

    def _directions(self, pose):
        """Forward, left and up of trunk, shoulders and head, unit vectors in the body's frame."""
        lean, sway = pose.lean, pose.sway
        up = (math.sin(lean) * math.cos(sway), math.sin(sway), math.cos(lean) * math.cos(sway))
        forward = (math.cos(lean), 0.0, -math.sin(lean))
        left = _cross(up, forward)
        self.trunk_turn = forward, left, up
        cos, sin = math.cos(pose.twist), math.sin(pose.twist)
        self.shoulder_turn = (_mix(forward, cos, left, sin), _mix(left, cos, forward, -sin))
        # the head keeps about upright whatever the trunk does
        yaw, pitch = pose.head_yaw + pose.twist * .5, pose.head_pitch + lean * .5
        ahead = (math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), -math.sin(pitch))
        aside = (-math.sin(yaw), math.cos(yaw), 0.0)
        self.head_turn = ahead, aside, _cross(ahead, aside)

    def _arm(self, forward, out, side):
        a, b = math.sin(forward) * math.cos(out), side * math.sin(out)
        c = -math.cos(forward) * math.cos(out)
        ahead, left = self.shoulder_turn
        up = self.trunk_turn[2]
        return tuple(a * ahead[k] + b * left[k] + c * up[k] for k in range(3))


def _dress(body, bones, paint):
    """What a skeleton wears: cones (start, end, radii, the wide side, depth over width, paint) and
    balls about the head (centre, radii along forward, left, up in body heights; paint)."""
    h, w = body.height, body.height * body.build
    shirt = paint(body.shirt, body.shirt_texture, body.second)
    trousers = paint(body.trousers, body.trouser_texture, body.second)
    skin, hair, shoes = paint(body.skin), paint(body.hair), paint(body.shoes)
    thick = w * body.limbs
    sleeve = shirt if body.long_sleeves else skin
    leg = trousers if body.long_trousers and not body.skirt else skin
    forward, left, upright = bones.head_turn
    across, wide = bones.shoulder_turn
    aside = (0.0, 1.0, 0.0)
    trunk, face = bones.trunk, bones.face
    tips = [_along(bones.shoulder[i], wide, (i * 2 - 1) * .012 * h) for i in (0, 1)]
    waist, chest = trunk(.085 * h), trunk(.20 * h)
    cones = [
        (waist, chest, .075 * w, .085 * w, wide, .76, shirt),
        (trunk(.015 * h), waist, .080 * w, .066 * w, aside, .80, trousers),
        (trunk(.060 * h), waist, .080 * w, .075 * w, wide, .80, shirt),
        (tips[1], tips[0], .040 * w, .040 * w, across, 1.15, shirt),
        (trunk(.22 * h), trunk(.292 * h), .075 * w, .036 * w, wide, .66, shirt),
        (trunk(.282 * h), _along(bones.throat, upright, .03 * h), .034 * h, .032 * h, left, 1.0,
         skin)]
    if body.dummy:
        cones = [(trunk(.02 * h), trunk(.25 * h), .085 * w, .095 * w, wide, .72, shirt), cones[-1]]
    for i in (0, 1):
        cones += [
            (bones.shoulder[i], bones.elbow[i], .037 * thick, .028 * thick, across, 1.0, shirt),
            (bones.elbow[i], bones.wrist[i], .0285 * thick, .0195 * thick, across, .95, sleeve),
            (bones.wrist[i], bones.hand[i], .019 * h, .021 * h, forward, .62, skin),
            (bones.hip[i], bones.knee[i], .060 * thick, .041 * thick, aside, 1.0, trousers),
            (bones.knee[i], bones.ankle[i], .0415 * thick, .027 * thick, aside, 1.05, leg),
            (bones.heel[i], bones.toe[i], .031 * h, .026 * h, aside, .72, shoes)]
    if body.skirt:
        hem = tuple((a + b) / 2 for a, b in zip(*bones.knee))
        width = .075 * w + math.dist(*bones.knee) * .35
        cones.append((trunk(.03 * h), hem, .078 * w, width, aside, .85, trousers))
    if body.long_hair and not body.bald:
        cones.append((face(-.022, 0, .02), face(-.032, 0, -.085), .046 * h, .036 * h, left, .62,
                      hair))
    if body.backpack:
        cones.append((trunk(.105 * h, -.085 * w), trunk(.25 * h, -.098 * w), .062 * h, .055 * h,
                      wide, .62, paint(body.backpack)))

    if body.dummy:
        return cones, [(bones.head, (.056, .050, .066), skin)]
    dark, white = paint((.05, .04, .04)), paint((.85, .84, .82))
    lips = paint(tuple(c * m for c, m in zip(body.skin, (.78, .48, .48))))
    balls = [
        (bones.head, (.0545, .0450, .0665), skin),
        (face(.012, 0, -.030), (.038, .036, .040), skin),
        (face(.055, 0, -.010), (.011, .0085, .014), skin),
        (face(.0492, 0, -.0335), (.006, .016, .0045), lips)]
    for s in (1, -1):
        balls += [
            (face(.0462, s * .0185, .008), (.0055, .0095, .0055), white),
            (face(.0500, s * .0185, .008), (.0035, .0052, .0052), dark),
            (face(.0478, s * .0190, .021), (.0045, .0120, .0028), dark if body.bald else hair),
            (face(-.004, s * .0455, -.004), (.010, .005, .0165), skin)]
    if not body.bald:
        balls += [(face(-.0125, 0, .0165), (.0530, .0505, .0590), hair),
                  (face(.012, 0, .046), (.042, .041, .028), hair)]
    if body.hat:
        hat = paint(body.hat)
        balls += [(face(-.002, 0, .043), (.059, .053, .044), hat),
                  (face(.050, 0, .034), (.042, .038, .006), hat)]
    if body.mask:
        balls.append((face(.020, 0, -.032), (.040, .039, .034), paint(body.mask)))
    return cones, balls


def _leg(forward, out):
    return (math.sin(forward) * math.cos(out), math.sin(out), -math.cos(forward) * math.cos(out))


def _along(point, direction, distance):
    return (point[0] + direction[0] * distance, point[1] + direction[1] * distance,
            point[2] + direction[2] * distance)


def _mix(a, s, b, t):
    return a[0] * s + b[0] * t, a[1] * s + b[1] * t, a[2] * s + b[2] * t


def _cross(a, b):
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
