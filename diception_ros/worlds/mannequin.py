# SPDX-License-Identifier: Apache-2.0
"""People: mannequins of round cones with proportions, clothes and a pose, and their 17 COCO keypoints.

A body's own frame: x forward, y left, z up, origin on the ground below the pelvis; metres. Proportions are
fractions of the body's height.
"""

import math
from dataclasses import dataclass

import numpy as np

from diception_ros.worlds.solids import ellipsoids, round_cones, stack

SKIN = ((.94, .76, .65), (.88, .68, .55), (.78, .57, .43), (.62, .42, .30), (.45, .30, .21), (.32, .21, .15))
HAIR = ((.06, .05, .05), (.13, .09, .06), (.26, .16, .09), (.45, .31, .17), (.70, .56, .33), (.55, .53, .52), (.40, .17, .08))


@dataclass
class Body:
    """What a person is like; colours are linear-light-ish RGB in [0, 1]."""

    height: float            # metres
    build: float             # width of trunk and limbs, 1 = average
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
        if dice.random() < 0.4:
            grey = dice.choice((.04, .08, .15, .3, .5, .75, .9)) * dice.uniform(.8, 1.1)
            return tuple(min(1, grey * dice.uniform(.9, 1.1)) for _ in range(3))
        return hsv(dice.random(), dice.uniform(.3, .95), dice.uniform(.15, .9))

    def trousers():
        if dice.random() < 0.4:
            return hsv(dice.uniform(.57, .66), dice.uniform(.3, .7), dice.uniform(.1, .5))
        return cloth() if dice.random() < 0.4 else hsv(dice.uniform(.05, .12), dice.uniform(0, .5), dice.uniform(.05, .6))

    return Body(
        height=min(1.98, max(1.25, dice.gauss(1.72, 0.11))), build=min(1.45, max(.82, dice.gauss(1.06, .13))),
        skin=tuple(c * dice.uniform(.95, 1.05) for c in dice.choice(SKIN)), hair=dice.choice(HAIR),
        shirt=cloth(), trousers=trousers(), shoes=cloth() if dice.random() < .4 else (dice.uniform(.02, .3),) * 3,
        shirt_texture=dice.randint(1, 12) if dice.random() < textures else 0,
        trouser_texture=dice.randint(1, 12) if dice.random() < textures * .3 else 0, second=cloth(),
        long_sleeves=dice.random() < .6, long_trousers=dice.random() < .85, skirt=dice.random() < .1,
        long_hair=dice.random() < .35, bald=dice.random() < .06, hat=cloth() if dice.random() < .08 else None,
        backpack=cloth() if dice.random() < .1 else None, mask=(.6, .75, .85) if dice.random() < .04 else None)


def hsv(hue, saturation, value):
    """RGB of a colour given by hue, saturation and value, all in [0, 1]."""
    return tuple(value * (1 - saturation + saturation * min(1, max(0, abs((hue * 6 + shift) % 6 - 3) - 1)))
                 for shift in (0, 4, 2))


def walking(phase, speed=1.1, bounce=1.0):
    """The pose of a walk at `phase` (radians, one turn is two steps)."""
    amount = min(1.3, max(0, speed / 1.1)) * bounce
    swing = 0.42 * amount
    hips, knees, arms, elbows = [], [], [], []
    for shift in (0.0, math.pi):
        p = phase + shift
        hips.append(swing * math.sin(p) + 0.06 * amount)
        # the knee bends while the leg comes forward
        knees.append(0.10 + 0.85 * amount * max(0.0, math.cos(p + 0.35)) ** 2 * (0.5 + 0.5 * math.cos(p)))
        arms.append(-0.5 * amount * math.sin(p))
        elbows.append(0.30 + 0.25 * amount * max(0.0, -math.sin(p)))
    return Pose(hip=tuple(hips), knee=tuple(knees), shoulder=tuple(arms), elbow=tuple(elbows), hip_out=(.03, .03),
                shoulder_out=(.13, .13), lean=0.03 + 0.04 * amount, twist=-0.10 * amount * math.sin(phase))


def random_pose(dice):
    """A pose and its name: walking, standing, reaching, sitting (needs a seat), crouching."""
    kind = dice.choices(('walking', 'standing', 'reaching', 'sitting', 'crouching'), (.40, .25, .17, .14, .04))[0]

    def pair(low, high):
        return dice.uniform(low, high), dice.uniform(low, high)

    if kind == 'walking':
        pose = walking(dice.uniform(0, 2 * math.pi), dice.uniform(.5, 1.5))
    else:
        pose = Pose(hip=pair(-.08, .15), hip_out=pair(.02, .16), knee=pair(.0, .15), shoulder=pair(-.3, .4),
                    shoulder_out=pair(.05, .35), elbow=pair(.05, 1.0), forearm_in=pair(-.1, .6),
                    lean=dice.uniform(-.04, .12), sway=dice.uniform(-.06, .06), twist=dice.uniform(-.25, .25))
        if dice.random() < .2:      # hands at the hips, or arms folded
            pose.shoulder_out, pose.elbow, pose.forearm_in = dice.choice(
                ((pair(.65, .8), pair(.0, .2), pair(1.6, 1.9)), (pair(.1, .2), pair(1.3, 1.5), pair(.9, 1.2))))
        if kind == 'sitting':
            open_ = dice.uniform(.03, .3)
            pose.hip = tuple(dice.uniform(1.35, 1.55) for _ in range(2))
            pose.knee = tuple(h + dice.uniform(-.25, .15) for h in pose.hip)
            pose.hip_out = (open_, open_)
            pose.lean = dice.uniform(-.2, .25)
            pose.shoulder, pose.elbow = pair(.1, .7), pair(.4, 1.2)
        elif kind == 'crouching':
            pose.hip = tuple(dice.uniform(1.5, 2.0) for _ in range(2))
            pose.knee = tuple(h + dice.uniform(.4, .6) for h in pose.hip)
            pose.lean = dice.uniform(.3, .6)
            pose.shoulder, pose.elbow = pair(.2, 1.0), pair(.3, 1.2)
        elif kind == 'reaching':
            far = (dice.uniform(.8, 2.7), dice.uniform(0, .5), dice.uniform(0, .5))
            both = dice.random() < .25
            left = dice.random() < .5
            for name, value in zip(('shoulder', 'shoulder_out', 'elbow'), far):
                old = getattr(pose, name)
                setattr(pose, name, (value if left or both else old[0], value if not left or both else old[1]))
            if dice.random() < .25:
                pose.lean = dice.uniform(.1, .5)
    pose.head_yaw = dice.gauss(0, .35)
    pose.head_pitch = dice.gauss(.06, .16)
    return kind, pose


def mannequin(body, pose, position, heading, instance, paint):
    """The solids of a person and the keypoints.

    `position`: (x, y) on the ground or (x, y, z); `heading`: radians from the world's x axis to its y axis;
    `instance`: id of all solids; `paint`: a callable (colour, texture=0, second=None, scale=2) -> row of paints.
    Returns Solids, keypoints float64 (17, 3) in the world, and the thickness (17,) of the body at each.
    """
    h, w = body.height, body.height * body.build
    turn = Turn(pose)
    f, _, u = turn.trunk                      # trunk: forward, left, up
    sf, sl = turn.shoulders                   # forward and left of the shoulder line

    pelvis = (0.0, 0.0, 0.0)
    hip = [_along(pelvis, (0, side, 0), .053 * w) for side in (1, -1)]
    knee, ankle, toe, heel = [], [], [], []
    for i, side in enumerate((1, -1)):
        thigh = _leg(pose.hip[i], pose.hip_out[i] * side)
        shin = _leg(pose.hip[i] - pose.knee[i], pose.hip_out[i] * side * .5)
        knee.append(_along(hip[i], thigh, .245 * h))
        ankle.append(_along(knee[i], shin, .240 * h))
        back = pose.hip[i] - pose.knee[i]
        # a foot lies flat unless its shin points far back: then the heel comes up
        tilt = min(0.0, back + .45) * .9 + max(0.0, back - .05) * .5
        foot = (math.cos(tilt), side * .12, math.sin(tilt))
        sole = _along(ankle[i], (math.sin(tilt), 0, -math.cos(tilt)), .022 * h)
        toe.append(_along(sole, foot, .105 * h))
        heel.append(_along(sole, foot, -.028 * h))

    chest = _along(pelvis, u, .20 * h)
    neck = _along(pelvis, u, .302 * h)
    throat = _along(_along(neck, u, .035 * h), f, .004 * h)
    shoulder = [_along(_along(_along(pelvis, u, .285 * h), sl, side * .093 * w), sf, .003 * h) for side in (1, -1)]
    elbow, wrist, hand = [], [], []
    for i, side in enumerate((1, -1)):
        upper = _arm(turn, pose.shoulder[i], pose.shoulder_out[i], side)
        lower = _arm(turn, pose.shoulder[i] + pose.elbow[i], pose.shoulder_out[i] * .6 - pose.forearm_in[i], side)
        elbow.append(_along(shoulder[i], upper, .170 * h))
        wrist.append(_along(elbow[i], lower, .145 * h))
        hand.append(_along(wrist[i], lower, .050 * h))
    hf, hl, hu = turn.head
    head = _along(_along(throat, hu, .078 * h), hf, .016 * h)

    face = lambda forward, left, up: _along(_along(_along(head, hf, forward * h), hl, left * h), hu, up * h)
    nose = face(.0655, 0, -.012)
    eyes = [face(.0500, side * .0185, .008) for side in (1, -1)]
    ears = [face(-.004, side * .0455, -.004) for side in (1, -1)]

    shirt = paint(body.shirt, body.shirt_texture, body.second)
    skin = paint(body.skin)
    trousers = paint(body.trousers, body.trouser_texture, body.second)
    hair = paint(body.hair)
    shoes = paint(body.shoes)
    sleeve = shirt if body.long_sleeves else skin
    leg = trousers if body.long_trousers and not body.skirt else skin
    side = (0.0, 1.0, 0.0)
    waist = _along(pelvis, u, .085 * h)
    low = _along(pelvis, u, .015 * h)
    cones = [      # start, end, radii, the wide side, depth over width, paint
        (waist, chest, .075 * w, .085 * w, sl, .76, shirt),
        (low, waist, .080 * w, .066 * w, side, .80, trousers),
        (_along(waist, u, -.025 * h), waist, .080 * w, .075 * w, sl, .80, shirt),
        (_along(shoulder[1], sl, .012 * h), _along(shoulder[0], sl, -.012 * h), .040 * w, .040 * w, sf, 1.15, shirt),
        (_along(chest, u, .02 * h), _along(neck, u, -.01 * h), .075 * w, .036 * w, sl, .66, shirt),
        (_along(neck, u, -.02 * h), _along(throat, hu, .03 * h), .034 * h, .032 * h, hl, 1.0, skin),
    ]
    for i in range(2):
        cones += [
            (shoulder[i], elbow[i], .037 * w, .028 * w, sf, 1.0, shirt),
            (elbow[i], wrist[i], .0285 * w, .0195 * w, sf, .95, sleeve),
            (wrist[i], hand[i], .019 * h, .021 * h, hf, .62, skin),
            (hip[i], knee[i], .060 * w, .041 * w, side, 1.0, trousers),
            (knee[i], ankle[i], .0415 * w, .027 * w, side, 1.05, leg),
            (heel[i], toe[i], .031 * h, .026 * h, side, .72, shoes),
        ]
    if body.skirt:
        hem = tuple((knee[0][k] + knee[1][k]) / 2 for k in range(3))
        spread = math.dist(knee[0], knee[1]) / 2
        cones.append((_along(pelvis, u, .03 * h), hem, .078 * w, .075 * w + spread * .7, side, .85, trousers))
    if body.long_hair and not body.bald:
        cones.append((face(-.022, 0, .02), face(-.032, 0, -.085), .046 * h, .036 * h, hl, .62, hair))
    if body.backpack:
        cones.append((_along(_along(waist, f, -.085 * w), u, .02 * h), _along(_along(chest, f, -.098 * w), u, .05 * h),
                      .062 * h, .055 * h, sl, .62, paint(body.backpack)))

    dark = paint((.05, .04, .04))
    frame = (hf, hl, hu)
    balls = [      # centre, radii along forward, left, up; paint
        (head, (.0545, .0450, .0665), skin),
        (face(.012, 0, -.030), (.038, .036, .040), skin),
        (face(.055, 0, -.010), (.011, .0085, .014), skin),
        (face(.0492, 0, -.0335), (.006, .016, .0045), paint(tuple(c * m for c, m in zip(body.skin, (.78, .48, .48))))),
    ]
    for i, s in enumerate((1, -1)):
        balls += [
            (face(.0462, s * .0185, .008), (.0055, .0095, .0055), paint((.85, .84, .82))),
            (eyes[i], (.0035, .0052, .0052), dark),
            (face(.0478, s * .0190, .021), (.0045, .0120, .0028), hair if not body.bald else dark),
            (ears[i], (.010, .005, .0165), skin),
        ]
    if not body.bald:
        balls += [(face(-.0125, 0, .0165), (.0530, .0505, .0590), hair), (face(.012, 0, .046), (.042, .041, .028), hair)]
    if body.hat:
        hat = paint(body.hat)
        balls += [(face(-.002, 0, .043), (.059, .053, .044), hat), (face(.050, 0, .034), (.042, .038, .006), hat)]
    if body.mask:
        balls.append((face(.020, 0, -.032), (.040, .039, .034), paint(body.mask)))

    start = np.array([c[0] for c in cones])
    solids = stack([
        round_cones(start, np.array([c[1] for c in cones]), np.array([c[2] for c in cones]),
                    np.array([c[3] for c in cones]), np.array([c[4] for c in cones]), np.array([c[5] for c in cones]),
                    instance, [c[6] for c in cones]),
        ellipsoids([b[0] for b in balls], np.repeat(np.array(frame)[None], len(balls), 0),
                   np.array([b[1] for b in balls]) * h, instance, [b[2] for b in balls])])
    joints = np.array([nose, *eyes, *ears, *shoulder, *elbow, *wrist, *hip, *knee, *ankle])
    thickness = np.array([.012 * h] + [.014 * h] * 2 + [.022 * h] * 2 + [.046 * w] * 2 + [.032 * w] * 2 + [.026 * w] * 2
                         + [.078 * w] * 2 + [.046 * w] * 2 + [.033 * w] * 2) + .012

    # Down to the ground (the lowest sole touches it), then to its place in the world.
    lowest = min(min(p[2] for p in toe) - .019 * h, min(p[2] for p in heel) - .023 * h)
    if pose.lean > .9:
        lowest = min(lowest, min(p[2] for p in hand) - .02 * h)
    cos, sin = math.cos(heading), math.sin(heading)
    spin = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    place = np.array([position[0], position[1], (position[2] if len(position) > 2 else 0.0) - lowest])
    solids.centre = solids.centre @ spin.T + place
    solids.turn = solids.turn @ spin.T
    return solids, joints @ spin.T + place, thickness


class Turn:
    """The directions of a pose's trunk, shoulders and head, each as unit vectors in the body's frame."""

    def __init__(self, pose):
        cl, sl = math.cos(pose.lean), math.sin(pose.lean)
        cs, ss = math.cos(pose.sway), math.sin(pose.sway)
        up = (sl * cs, ss, cl * cs)
        forward = (cl, 0.0, -sl)
        left = _cross(up, forward)
        self.trunk = forward, left, up
        ct, st = math.cos(pose.twist), math.sin(pose.twist)
        self.shoulders = (_mix(forward, ct, left, st), _mix(left, ct, forward, -st))
        # the head keeps about upright whatever the trunk does
        yaw, pitch = pose.head_yaw + pose.twist * .5, pose.head_pitch + pose.lean * .5
        cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
        hf = (cp * cy, cp * sy, -sp)
        hl = (-sy, cy, 0.0)
        self.head = hf, hl, _cross(hf, hl)


def _leg(forward, out):
    return math.sin(forward) * math.cos(out), math.sin(out), -math.cos(forward) * math.cos(out)


def _arm(turn, forward, out, side):
    f, l = turn.shoulders
    u = turn.trunk[2]
    a, b, c = math.sin(forward) * math.cos(out), side * math.sin(out), -math.cos(forward) * math.cos(out)
    return tuple(a * f[k] + b * l[k] + c * u[k] for k in range(3))


def _along(point, direction, distance):
    return (point[0] + direction[0] * distance, point[1] + direction[1] * distance, point[2] + direction[2] * distance)


def _mix(a, s, b, t):
    return a[0] * s + b[0] * t, a[1] * s + b[1] * t, a[2] * s + b[2] * t


def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
