# SPDX-License-Identifier: Apache-2.0
"""A scene through a camera: exact truth at every pixel centre, and the lit picture."""

import cv2
import numpy as np

from diception_ros.lab.synthetic import assets, billboards, photograph, textures
from diception_ros.lab.synthetic.antialias import smooth_creases, smooth_edges
from diception_ros.lab.synthetic.raycast import Placed, cast, surface_normals
from diception_ros.lab.synthetic.scene import CEILING, FLOOR, OPEN, PHOTO, SKY, WALL
from diception_ros.lab.synthetic.solids import ROUND_CONE
from diception_ros.tasks.truth import CATEGORIES, Person, Truth

FACES = 6           # surfaces 0..5 are the room's, solids follow; -1 is the sky
SURE_REACH = .1     # of a person's height: where a known joint decides about poses
_FACE_INSTANCE = np.array([WALL, WALL, WALL, WALL, FLOOR, CEILING], np.int32)
_FACE_NORMAL = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1.0]])


def render(scene, camera, photo=None, rgb_scale=1):
    """The Truth of a scene seen by a camera.

    photo: a photograph.Photo; None: a clean picture. rgb_scale: 1, or 2 for a picture `rgb` of
    twice the size; all else is that of the camera's pixel centres.
    """
    seen = _Seen(scene, camera)
    large = seen if rgb_scale == 1 else _Seen(scene, camera.scaled(rgb_scale))
    truth = seen.truth()
    colour, light = _light(scene, large.camera, large.rows, large.z, large.px, large.py,
                           large.normals, large.solid, large.local)
    width, height = large.camera.size
    if scene.backdrop is not None:
        _hang(scene.backdrop, large.surface, colour, light)
    smooth_creases(large.surface, large.normals, colour, (height, width))
    smooth_edges(scene, large.camera, large.placed, large.surface, colour, FACES)
    if scene.boards:
        billboards.show(large.boards, large.camera, large.depth, large.surface, large.normals,
                        colour, np.stack(light))
    truth.rgb = photograph.develop(colour.reshape(3, height, width), photo)
    return truth


class _Seen:
    """What every pixel of a camera sees: geometry, before any light."""

    def __init__(self, scene, camera):
        self.scene, self.camera = scene, camera
        width, height = camera.size
        x, y = camera.slopes()
        self.depth, self.surface = _room(scene, camera.pose, x, y)
        self.placed = Placed(scene.solids, camera.pose)
        cast(self.placed, x, y, self.depth, self.surface, FACES)
        self.boards = billboards.warp(scene.boards, camera)
        self.rows = self.surface.ravel().astype(np.intp)
        self.z = self.depth.ravel().copy()

        # normals, optical frame
        face_normals = (_FACE_NORMAL @ camera.pose[:3, :3]).astype(np.float32)
        table = np.zeros((FACES + len(scene.solids) + 1, 3), np.float32)    # the last row: the sky
        table[:FACES] = face_normals
        self.normals = [column[self.rows] for column in table.T]
        self.solid = solid = np.flatnonzero(self.rows >= FACES)
        self.px, self.py = np.tile(x, height), np.repeat(y, width)
        self.local = None
        if len(solid):
            found, self.local = surface_normals(
                self.placed, self.rows[solid] - FACES, (self.px[solid], self.py[solid]),
                self.z[solid])
            found *= 1 / np.sqrt(found[0] * found[0] + found[1] * found[1] + found[2] * found[2])
            for column, new in zip(self.normals, found):
                column[solid] = new

    def truth(self):
        """A Truth without rgb."""
        scene, camera = self.scene, self.camera
        height, width = self.depth.shape
        instance = np.concatenate([_FACE_INSTANCE, scene.solids.instance, [SKY]]).astype(np.int32)
        instances = instance[self.rows].reshape(height, width)
        depth, normals, known = self.depth, self.normals, None
        if scene.boards:
            depth, normals = depth.copy(), [n.copy() for n in normals]
            flat = billboards.show(self.boards, camera, depth, instances, normals)
            known = _known(scene, flat, instances)
        if scene.backdrop is not None:
            known = _forget(known or _known(scene, np.zeros(depth.shape, bool), instances),
                            instances, self.surface < FACES)
        normal_map = np.empty((height, width, 3), np.float32)
        for i in range(3):
            normal_map[..., i] = normals[i].reshape(height, width)
        shown = np.bincount(instances.ravel(), minlength=max(scene.categories) + 1)
        shown[0] = 0
        categories = {number: name for number, name in scene.categories.items() if shown[number]}
        people = _people(scene, camera, depth, instances, categories)
        people += billboards.people_of(scene.boards, camera, instances, categories)
        if known is not None:
            _know_poses(scene, people, instances, known)
        return Truth(rgb=None, depth=depth, normals=normal_map, instances=instances,
                     categories=categories, people=people, intrinsics=camera.intrinsics.copy(),
                     camera_pose=camera.pose.copy(), known=known)


def _known(scene, flat, instances):
    """Truth.known of a scene with billboards, which have no normals of their own; `flat` bool
    (H, W) is where they are seen."""
    everywhere = np.ones(flat.shape, bool)
    known = {task: everywhere for task in ('depth', 'entities', 'segmentation')}
    known['normals'], known['pose'] = ~flat, everywhere.copy()
    for category in CATEGORIES:
        known[f'semantic:{category}'] = everywhere
        unsure = [number for number, maybe in scene.unsure.items() if category in maybe]
        if unsure:
            known[f'semantic:{category}'] = ~np.isin(instances, unsure)
    return known


def _forget(known, instances, behind):
    """Truth.known where `behind` bool (H, W), unless a billboard is before it, is a photograph:
    nobody is there; what else is, nobody knows. `instances` is 0 there afterwards."""
    behind = behind & (instances <= SKY)
    instances[behind] = 0
    kept = ('segmentation', 'pose', 'semantic:person')
    return {task: mask if task in kept else mask & ~behind for task, mask in known.items()
            if task not in ('depth', 'entities')}


def _hang(backdrop, surface, colour, light):
    """Puts a photograph in place of room and sky into `colour` (3, P), with the shadows on them."""
    behind = np.flatnonzero(surface.ravel() < FACES)
    if len(behind) == 0:
        return
    height, width = surface.shape
    image = cv2.resize(backdrop, (width, height), interpolation=cv2.INTER_AREA
                       if width * height < backdrop.shape[0] * backdrop.shape[1]
                       else cv2.INTER_LINEAR).reshape(-1, 3)[behind] * np.float32(1 / 255)
    image *= image * (np.float32(.8) + np.float32(.2) * image)               # about ** 2.2
    shade = light[1][behind] / (light[1].mean() + 1e-6)
    shade = np.clip(shade, .4, 1.3)
    strength = np.float32(np.mean([channel.mean() for channel in light]))
    for i in range(3):
        colour[i][behind] = image[:, i] * shade * strength


def _know_poses(scene, people, instances, known):
    """Poses are not known on a billboard of a person but near its joints."""
    for board in scene.boards:
        if scene.categories[board.instance] != 'person':
            continue
        own = instances == board.instance
        if not own.any():
            continue
        sure = np.zeros(own.shape, np.uint8)
        reach = max(2, round(SURE_REACH * np.ptp(np.flatnonzero(own.any(axis=1)))))
        for person in people:
            if person.label == board.instance:
                for x, y, seen in person.keypoints:
                    if seen:
                        cv2.circle(sure, (round(float(x)), round(float(y))), reach, 1, -1)
        known['pose'][own] = sure[own] > 0


def _room(scene, pose, x, y):
    """Depth float32 (H, W) and surface int32 (H, W) of the room without solids."""
    depth = np.full((len(y), len(x)), np.inf, np.float32)
    surface = np.full((len(y), len(x)), -1, np.int32)
    for axis in range(3):
        if scene.low[axis] <= -OPEN and scene.high[axis] >= OPEN:
            continue
        along = (pose[axis, 0] * x + pose[axis, 2]).astype(np.float32) + (
            pose[axis, 1] * y).astype(np.float32)[:, None]
        up = along > 0
        gap = [np.float32(wall[axis] - pose[axis, 3]) for wall in (scene.low, scene.high)]
        with np.errstate(divide='ignore', invalid='ignore'):
            wall = np.where(up, gap[1], gap[0]) / along
        if scene.high[axis] >= OPEN:
            wall[up] = np.inf
        nearer = (wall < depth) & (along != 0)  # a ray along the wall meets it nowhere
        np.copyto(depth, wall, where=nearer)
        np.copyto(surface, up.astype(np.int32) + 2 * axis, where=nearer)
    return depth, surface


def _light(scene, camera, rows, z, px, py, normals, solid, local):
    """Linear colour and, without the sky's and any gloss, light float32 (3, P)."""
    rotation = camera.pose[:3, :3].astype(np.float32)
    position = camera.pose[:3, 3]
    far = np.minimum(z, 1e3)
    ax, ay = px * far, py * far
    # world points, seen from the camera's place
    relative = [rotation[i, 0] * ax + rotation[i, 1] * ay + rotation[i, 2] * far for i in range(3)]
    world_normal = [rotation[i, 0] * normals[0] + rotation[i, 1] * normals[1]
                    + rotation[i, 2] * normals[2] for i in range(3)]
    albedo, gloss = _albedo(scene, camera, rows, far, relative, normals, px, py, solid, local)

    # what comes from everywhere: less in corners, and from below in the floor's colour
    open_ = np.ones_like(far)
    for axis in range(3):
        if scene.high[axis] >= OPEN and scene.low[axis] <= -OPEN:
            continue
        gap = np.minimum(relative[axis] - np.float32(scene.low[axis] - position[axis]),
                         np.float32(scene.high[axis] - position[axis]) - relative[axis])
        corner = 1 - np.float32(.35) * np.exp(np.minimum(gap * -5, 0))
        corner[rows >> 1 == axis] = 1      # the room's own two faces across the axis
        open_ *= corner
    _touch(scene, rows, relative, position, open_)
    if scene.nooks:
        open_ *= _nooks(far.reshape(camera.size[::-1]), scene.nooks)
    above = (world_normal[2] * np.float32(.5) + np.float32(.5)) * open_
    below = open_ - above
    floor = scene.paints[scene.faces[4], :3]
    light = [above * np.float32(c) + below * np.float32(c * (.35 + .6 * f))
             for c, f in zip(scene.ambient, floor, strict=True)]
    if scene.panorama is not None:
        around = assets.irradiance(scene.panorama, scene.turn).astype(np.float32)
        around *= np.mean(scene.ambient, dtype=np.float32)
        for i in range(3):
            light[i] = np.maximum(around[0, i] + around[1, i] * world_normal[0]
                                  + around[2, i] * world_normal[1]
                                  + around[3, i] * world_normal[2], .08) * open_
    shine = None
    for lamp in scene.lights:
        way = [np.float32(lamp.position[i] - position[i]) - relative[i] for i in range(3)]
        square = way[0] * way[0] + way[1] * way[1] + way[2] * way[2]
        inverse = 1 / np.sqrt(square)
        way = [w * inverse for w in way]
        facing = way[0] * world_normal[0] + way[1] * world_normal[1] + way[2] * world_normal[2]
        reference = np.float32(((lamp.position - position) ** 2).sum())
        strength = np.maximum(facing, 0) * np.minimum(reference / square, 3)
        if lamp.size:
            strength *= _shadow(scene, lamp, camera.size, relative, position, world_normal, facing)
        for i in range(3):
            light[i] += strength * np.float32(lamp.colour[i])
        glossy = np.flatnonzero((gloss > 0) & (strength > .05))
        if len(glossy):
            n = [w[glossy] for w in world_normal]
            v = [-r[glossy] for r in relative]
            length = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
            half = [w[glossy] * length + u for w, u in zip(way, v, strict=True)]
            cosine = half[0] * n[0] + half[1] * n[1] + half[2] * n[2]
            cosine /= np.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2])
            shine = np.zeros_like(far) if shine is None else shine
            shine[glossy] += np.maximum(cosine, 0) ** (10 + 60 * gloss[glossy]) * (
                gloss[glossy] * np.minimum(1, 3 * strength[glossy]))
    colour = np.stack([a * b for a, b in zip(albedo, light, strict=True)])
    if shine is not None:
        colour += shine
    if scene.mirror:
        _mirror(scene, camera, rows, px, py, colour)
    sky = np.flatnonzero(rows < 0)
    if len(sky):
        colour[:, sky] = _sky(scene, [r[sky] for r in relative])
    if scene.haze:
        veil = 1 - np.exp(far * np.float32(-scene.haze))
        veil[sky] = 0
        for i in range(3):
            colour[i] += (np.float32(scene.sky[1][i]) - colour[i]) * veil
    return colour, light


def _touch(scene, rows, relative, position, open_):
    """Darkens `open_` (P,) where the floor is next to what stands on it, so that nothing floats."""
    solids = scene.casters()
    half = np.sqrt(((solids.turn * solids.scale[:, :, None]) ** 2).sum(axis=1))
    cones = solids.kind == ROUND_CONE
    half[cones] *= solids.shape[cones, 1:2]
    near = solids.casts & (solids.centre[:, 2] - half[:, 2] < .12)
    floor = np.flatnonzero(rows == 4)
    if len(floor) == 0:
        return
    x, y = (relative[i][floor] + np.float32(position[i]) for i in (0, 1))
    light = np.ones_like(x)
    for (cx, cy, _), (ex, ey, _) in zip(solids.centre[near][:24], half[near][:24]):
        dx = (x - np.float32(cx)) * np.float32(1 / (1.15 * ex + .06))
        dy = (y - np.float32(cy)) * np.float32(1 / (1.15 * ey + .06))
        dx *= dx
        dy *= dy
        dx += dy
        dx *= -1
        light *= 1 - np.float32(.6) * np.exp(dx)
    open_[floor] *= light


def _nooks(depth, much):
    """Ambient occlusion by the depth picture (Luft et al. 2006), float32 (P,): darker is what is
    a little behind its surroundings, by a hand or two at a metre."""
    near = np.log(depth)
    behind = near - cv2.GaussianBlur(near, (0, 0), .03 * len(depth))
    np.maximum(behind, 0, out=behind)
    return 1 - np.float32(10 * much) * (behind * np.exp(behind * behind * -100)).ravel()


def _sky(scene, direction):
    """Colour (3, P) of the sky in world directions, three of (P,)."""
    if scene.panorama is not None:
        return assets.look_up(scene.panorama, direction, scene.turn)
    high, low, clouds = scene.sky
    length = np.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    up = np.maximum(direction[2] / length, 0)
    blend = np.minimum(up * 2, 1)
    colour = np.stack([np.float32(b) + np.float32(a - b) * blend for a, b in zip(high, low)])
    if clouds:
        u, v = (d / length / (up + np.float32(.15)) * np.float32(.25) for d in direction[:2])
        kind = np.full(len(u), textures.NAMES.index('cloudy'))
        cover = textures.sample(kind, u, v, np.full(len(u), .004, np.float32))
        cover = np.clip((cover - np.float32(1 - clouds)) * 4, 0, 1)
        colour += (np.float32(1.15 * max(low)) - colour) * cover
    return colour


def _mirror(scene, camera, rows, px, py, colour):
    """Adds to the floor's pixels in `colour` (3, P) what stands above them, upside down."""
    floor = rows.reshape(camera.size[1], camera.size[0]) == 4
    lines = np.flatnonzero(floor.any(axis=1))
    if len(lines) == 0:
        return
    top = lines[0]
    x, y = camera.slopes()
    y = y[top:]
    pose = camera.pose.copy()
    pose[2] *= -1           # the camera's image below the floor sees what the floor shows
    depth, surface = _room(scene, pose, x, y)
    placed = Placed(scene.solids, pose)
    cast(placed, x, y, depth, surface, FACES)
    shown = surface.ravel()
    paint = np.concatenate([scene.faces, scene.solids.paint, [scene.faces[4]]])[shown]
    weight = np.where(floor[top:].ravel(), np.float32(scene.mirror), np.float32(0))
    # glass-like: strongest where one looks along the floor
    r = camera.pose[2].astype(np.float32)
    px, py = px[-len(weight):], py[-len(weight):]
    steep = np.abs(r[0] * px + r[1] * py + r[2]) / np.sqrt(px * px + py * py + 1)
    weight *= np.float32(.35) + np.float32(.65) * (1 - np.minimum(steep, 1)) ** 3
    shape = (len(y), len(x))
    for i in range(3):
        image = scene.paints[:, i][paint] * np.float32(scene.ambient[i] + .3)
        image = cv2.blur(image.reshape(shape), (3, 3)).ravel()
        part = colour[i, -len(weight):]
        part += (image - part) * weight


def _albedo(scene, camera, rows, z, relative, normals, px, py, solid, local):
    """Colour, three of (P,), and gloss (P,) of the paint at every pixel."""
    of_surface = np.concatenate([scene.faces, scene.solids.paint, [scene.faces[4]]])
    paints = scene.paints[of_surface]
    columns = np.ascontiguousarray(paints.T)
    colour = [columns[i][rows] for i in range(3)]
    gloss = columns[8][rows]
    patterned = columns[6] > 0
    if not patterned.any():
        return colour, gloss
    # pixels, and the two coordinates on the surface in metres
    which, along = [], []
    for face in range(FACES):
        if patterned[face]:
            pixels = np.flatnonzero(rows == face)
            axes = [axis for axis in range(3) if axis != face >> 1]
            which.append(pixels)
            along.append([relative[a][pixels] + np.float32(camera.pose[a, 3]) for a in axes])
    if len(solid) and patterned[FACES:].any():
        picked = np.flatnonzero(patterned[rows[solid]])
        pixels = solid[picked]
        row = rows[pixels] - FACES
        scale = scene.solids.scale.astype(np.float32)
        turn = (scene.solids.turn @ camera.pose[:3, :3]).astype(np.float32)
        q = [local[i][picked] * scale[:, i][row] for i in range(3)]
        n = [np.abs(turn[:, i, 0][row] * normals[0][pixels]
                    + turn[:, i, 1][row] * normals[1][pixels]
                    + turn[:, i, 2][row] * normals[2][pixels]) for i in range(3)]
        first = (n[0] > n[1]) & (n[0] > n[2])       # seen along the solid's first axis
        second = ~first & (n[1] > n[2])
        which.append(pixels)
        along.append([np.where(first, q[1], q[0]), np.where(first | second, q[2], q[1])])
    if not any(map(len, which)):                       # patterned things, but none in sight
        return colour, gloss
    which = np.concatenate(which)
    u, v = (np.concatenate([pair[i] for pair in along]) for i in (0, 1))
    row = rows[which]
    density = columns[7][row]
    facing = np.abs(normals[0][which] * px[which] + normals[1][which] * py[which]
                    + normals[2][which])
    footprint = z[which] / np.float32(camera.intrinsics[0, 0]) * density
    footprint /= np.sqrt(np.maximum(facing, .05))      # between its two sides
    texture = columns[6].astype(np.intp)[row]
    u, v = u * density, v * density
    if scene.photos is not None and (texture >= PHOTO).any():
        photo = np.flatnonzero(texture >= PHOTO)
        found = assets.sample(scene.photos, texture[photo] - PHOTO, u[photo] + np.float32(.5),
                              v[photo] + np.float32(.5), footprint[photo])
        for i in range(3):
            colour[i][which[photo]] *= found[i]
        drawn = np.flatnonzero(texture < PHOTO)
        which, row, texture = which[drawn], row[drawn], texture[drawn]
        u, v, footprint = u[drawn], v[drawn], footprint[drawn]
    value = textures.sample(texture, u, v, footprint)
    for i in range(3):
        colour[i][which] += (columns[3 + i] - columns[i])[row] * value
    return colour, gloss


_RING = [(.35, 1.0), (.65, 3.4), (.9, 5.8), (.5, 5.0), (.8, 1.9), (1.0, 0.2)]


def _shadow(scene, lamp, size, relative, position, normal, facing):
    """How much of a lamp every point sees, float32 (P,) in [0, 1]: a depth picture from there."""
    lit = np.ones(len(relative[0]), np.float32)
    solids = scene.casters()
    casts = np.flatnonzero(solids.casts)
    if len(casts) == 0:
        return lit
    solids = solids[casts]
    middle = solids.centre.mean(axis=0)
    pose = _looking(lamp.position, middle)
    placed = Placed(solids, pose)
    bounds = placed.bounds[np.isfinite(placed.bounds).all(axis=1)]
    if len(bounds) == 0:
        return lit
    left, top = np.maximum(bounds[:, :2].min(axis=0), -2).astype(np.float32)
    right, bottom = np.minimum(bounds[:, 2:].max(axis=0), 2).astype(np.float32)
    side = int(np.clip(.65 * max(size), 80, 512))
    step_x, step_y = (right - left) / side, (bottom - top) / side
    x = (left + (np.arange(side) + .5) * step_x).astype(np.float32)
    y = (top + (np.arange(side) + .5) * step_y).astype(np.float32)
    # a border as wide as the blur: outside the map all is lit
    reach = lamp.size / (.6 * np.linalg.norm(lamp.position - middle)) / min(step_x, step_y)
    border = int(1.2 * reach) + 2
    wide = side + 2 * border
    picture = np.full((wide, wide), np.inf, np.float32)
    inner = slice(border, border + side)
    cast(placed, x, y, picture[inner, inner], np.zeros((side, side), np.int32))

    offset = (position - lamp.position).astype(np.float32)
    rotation = pose[:3, :3].astype(np.float32)
    point = [r + n * np.float32(.015) + o for r, n, o in zip(relative, normal, offset, strict=True)]
    depth = rotation[0, 2] * point[0] + rotation[1, 2] * point[1] + rotation[2, 2] * point[2]
    inverse = 1 / np.maximum(depth, .1)
    u, v = ((rotation[0, i] * point[0] + rotation[1, i] * point[1] + rotation[2, i] * point[2])
            * inverse for i in (0, 1))
    u = (u - np.float32(left)) * np.float32(1 / step_x) + border
    v = (v - np.float32(top)) * np.float32(1 / step_y) + border
    inside = np.flatnonzero((facing > 0) & (u > 1) & (u < wide - 1) & (v > 1) & (v < wide - 1))
    # only where something near the ray may be in the way
    nearest = cv2.erode(picture, np.ones((2 * border - 1,) * 2, np.uint8)).ravel()
    column, row = u[inside].astype(np.intp), v[inside].astype(np.intp)
    depth -= np.float32(.01)
    doubtful = inside[nearest[row * wide + column] < depth[inside]]
    u, v, depth, inverse = u[doubtful], v[doubtful], depth[doubtful], inverse[doubtful]
    n = [normal[i][doubtful] for i in range(3)]
    n = [rotation[0, i] * n[0] + rotation[1, i] * n[1] + rotation[2, i] * n[2] for i in range(3)]
    lean_x, lean_y = n[0], n[1]      # how the receiving plane's depth changes from tap to tap
    lean = n[0] * (step_x * (u - border) + left) + n[1] * (step_y * (v - border) + top) + n[2]
    np.clip(u, border, wide - border - 1, out=u)
    np.clip(v, border, wide - border - 1, out=v)
    inverse *= _grain(size)[doubtful] * np.float32(lamp.size)
    np.minimum(inverse, np.float32((border - 1) * min(step_x, step_y)), out=inverse)
    blur_x, blur_y = inverse * np.float32(1 / step_x), inverse * np.float32(1 / step_y)
    inverse /= np.minimum(lean, -.05)
    lean_x, lean_y = lean_x * inverse, lean_y * inverse
    flat = picture.ravel()
    total = np.zeros(len(u), np.float32)
    for radius, angle in _RING:
        # a ring of taps, wider or narrower at every pixel so that few of them give smooth edges
        c, s = np.float32(np.cos(angle) * radius), np.float32(np.sin(angle) * radius)
        column = (u + blur_x * c).astype(np.intp)
        row = (v + blur_y * s).astype(np.intp)
        row *= wide
        row += column
        total += flat[row] > depth * (1 - (lean_x * c + lean_y * s))
    lit[doubtful] = total / len(_RING)
    return cv2.blur(lit.reshape(size[1], size[0]), (3, 3)).ravel()


_GRAINS = {}


def _grain(size):
    """Fixed numbers in [0.4, 1.2] per pixel, float32 (P,)."""
    if size not in _GRAINS:
        rng = np.random.default_rng(3)
        _GRAINS[size] = rng.uniform(.4, 1.2, size[0] * size[1]).astype(np.float32)
    return _GRAINS[size]


def _looking(position, target):
    """A pose at `position` that looks at `target`."""
    forward = target - position
    forward = forward / np.linalg.norm(forward)
    side = (0.0, 0.0, 1.0) if abs(forward[2]) < .95 else (1.0, 0.0, 0.0)
    right = np.cross(forward, side)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = position
    return pose


def _people(scene, camera, depth, instances, categories):
    """The people of whom at least one pixel is in the picture, and so in `categories`."""
    height, width = depth.shape
    people = []
    for figure in scene.figures:
        if figure.instance not in categories:
            continue
        pixels, _ = camera.project(figure.joints)
        local = camera.to_camera(figure.joints)
        keypoints = np.zeros((17, 3), np.float32)
        inside = ((pixels > -.5) & (pixels < (width - .5, height - .5))).all(axis=1)
        column, row = np.rint(pixels[inside]).astype(int).T
        own = instances[row, column] == figure.instance
        shown = own & (depth[row, column] >= local[inside, 2] - figure.thickness[inside])
        keypoints[:, :2] = np.nan_to_num(pixels, nan=-1)
        keypoints[inside, 2] = np.where(shown, 2, 1)
        people.append(Person(int(figure.instance), keypoints, local.astype(np.float32)))
    return people


