# SPDX-License-Identifier: Apache-2.0
"""Real things and people cut out of photographs, to be pasted into scenes and other photographs.

    python -m diception_ros.lab.datasets.cutouts ../shared/real --network isnet.onnx --out CUTOUTS

cuts; what is there already is left alone, so a run that was stopped goes on. Loaded by `Cutouts`.

CUTOUTS/index.jsonl has a line per photograph looked at: the rejected ones say why in `rejected`,
the others have an RGBA WebP of the thing's bounding box in CUTOUTS/images and

    file        name in images/
    kind        'person' or 'thing'
    name        what it is in its source's words, e.g. 'cup', 'T-Shirt'
    size        width, height, pixels
    cut         the borders at which the photograph (not the thing) ends: some of 'left', 'top',
                'right', 'bottom'
    flat        lies on what it was photographed on: seen from above, to be pasted lying
    metres      people: from the lower to the upper edge; things: the longer side of their class
    keypoints   people: 17 x (x, y, v), pixels of the image, COCO's order and v (0: not known,
                2: visible)
    source, original, licence       where it comes from

The network is IS-Net for salient objects (1, 3, 512, 512) -> (1, 1, 512, 512), an ONNX file.
"""

import argparse
import json
import sys
import time
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from diception_ros.lab.datasets.splits import split_of
from diception_ros.tasks import CATEGORIES

LICENCES = {
    'clothing': 'CC0-1.0', 'caltech101': 'CC-BY-4.0', 'trashnet': 'MIT', 'grocery': 'MIT',
    'doors': 'CC-BY-2.0', 'intel_sample_videos': 'CC-BY-4.0', 'cid22': 'CC-BY-SA-4.0',
    'clic2025': 'Unsplash', 'skimage_pd': 'public domain'}
PEOPLE = ('doors', 'intel_sample_videos', 'cid22', 'clic2025')
THINGS = ('clothing', 'caltech101', 'trashnet', 'grocery')
SIDE = 512                 # pixels of the network's input
MAX_SIDE = 224             # pixels of a cut-out's longer side: views have 256 at most
# Classes of Caltech 101 that are no things: heads without bodies, buildings, somebody in a chair
SKIPPED = {'cougar_face', 'crocodile_head', 'flamingo_head', 'minaret', 'pyramid', 'pagoda',
           'joshua_tree', 'Leopards', 'water_lilly', 'cougar_body', 'wheelchair'}
# Metres of the longer side, by class; animals and vehicles are toys. Others: DEFAULT_METRES
METRES = {
    'cup': .10, 'ewer': .25, 'soccer_ball': .22, 'windsor_chair': .95, 'chandelier': .6,
    'gramophone': .5, 'strawberry': .06, 'watch': .09, 'mandolin': .6, 'ceiling_fan': .5,
    'cellphone': .14, 'euphonium': .7, 'scissors': .16, 'saxophone': .7, 'wrench': .18,
    'stop_sign': .7, 'sunflower': .3, 'menorah': .35, 'buddha': .35, 'grand_piano': 1.5,
    'barrel': .7, 'inline_skate': .32, 'revolver': .15, 'umbrella': .7, 'binocular': .16,
    'electric_guitar': .95, 'accordion': .4, 'cannon': 1.2, 'chair': .9, 'lamp': .5, 'camera': .11,
    'headphone': .2, 'wheelchair': .95, 'metronome': .22, 'pizza': .3, 'stapler': .08,
    'laptop': .26, 'bonsai': .4, 'lotus': .12, 'anchor': .5, 'Motorbikes': 2.0, 'car_side': .3,
    't-shirt': .7, 'longsleeve': .7, 'pants': 1.0, 'shirt': .75, 'shoes': .28, 'dress': 1.0,
    'shorts': .45, 'outwear': .8, 'hat': .22, 'skirt': .55,
    'cardboard': .35, 'glass': .22, 'metal': .13, 'paper': .28, 'plastic': .24, 'trash': .15,
    'Fruit': .09, 'Vegetables': .12, 'Packages': .22}
DEFAULT_METRES = .3
# Classes of garments and litter are seen from above, as they lie
FLAT = {*'t-shirt longsleeve pants shirt shoes dress shorts outwear hat skirt'.split(),
        'cardboard', 'glass', 'metal', 'paper', 'plastic', 'trash', 'pizza', 'scissors', 'wrench'}
THING = 'thing'                # the category of what has none of ours
# What cut-outs are called in the sources -> category; and what else some of a class may be
CATEGORY_OF = {'cup': 'cup', 'chair': 'chair', 'windsor_chair': 'chair', 'bonsai': 'plant',
               'sunflower': 'plant', 'laptop': 'laptop'}
UNSURE = {'glass': ('bottle', 'cup'), 'plastic': ('bottle', 'cup', 'bag'),
          'metal': ('bottle', 'cup'), 'Packages': ('bottle', 'box'), 'ewer': ('cup', 'bottle'),
          'lotus': ('plant',), 'cardboard': ('box',), 'trash': ('bottle', 'cup', 'bag', 'box')}
MOST_DOUBT = .22
MOST_DOUBT_OF_PEOPLE = .55        # other teachers judge them too
BORDERS = ('left', 'top', 'right', 'bottom')
PASCAL_PERSON = 15


class Cutouts:
    """A folder of cut-outs, as `main` writes it.

    `split`: 'train', 'validation', 'test' or None for all. Raises FileNotFoundError without an
    index and ValueError where the index has none of the split.
    """

    def __init__(self, folder, split='train'):
        self.folder = Path(folder)
        index = self.folder / 'index.jsonl'
        if not index.is_file():
            raise FileNotFoundError(f'{index}: no cut-outs; make them with '
                                    '`python -m diception_ros.lab.datasets.cutouts`')
        lines = [json.loads(line) for line in index.read_text().splitlines()]
        self.entries = sorted((e for e in lines if 'rejected' not in e
                               and split in (None, _split_of(e['key']))),
                              key=lambda e: e['file'])
        if not self.entries:
            raise ValueError(f'{index}: no cut-outs of the split {split!r}')
        self.people = [e for e in self.entries if e['kind'] == 'person']
        self.things = [e for e in self.entries if e['kind'] == 'thing']
        self._by_source = {}
        for e in self.things:
            self._by_source.setdefault(e['source'], []).append(e)
        self._flat = {s: f for s, es in self._by_source.items() if (f := [e for e in es
                                                                          if e['flat']])}

    def thing(self, number, flat=False):
        """A thing, `number` in [0, 1) says which: each source as often as another; with `flat` one
        that lies. None where there is none."""
        sources = self._flat if flat else self._by_source
        if not sources:
            return None
        which, number = divmod(number * len(sources), 1)
        entries = list(sources.values())[int(which)]
        return entries[int(number * len(entries))]

    def image(self, entry):
        """RGBA uint8 (H, W, 4) of an entry; not to be written to."""
        return _image(str(self.folder / 'images' / entry['file']))


def category_of(entry):
    """A cut-out's category; THING where it is of none of CATEGORIES."""
    name = 'person' if entry['kind'] == 'person' else CATEGORY_OF.get(entry['name'], THING)
    return name if name in CATEGORIES else THING


def unsure_of(entry):
    """Categories that a cut-out may be of although it is not said to be."""
    return tuple(c for c in UNSURE.get(entry['name'], ()) if c in CATEGORIES)


def _split_of(key):
    """The split of the photograph that an entry was cut out of."""
    source, file = key.split('#')[0].split('/')
    return split_of(source, Path(file).stem)


@lru_cache(maxsize=512)        # 100 MB at most
def _image(path):
    image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if image is None or image.shape[-1] != 4:
        raise OSError(f'{path}: no RGBA image')
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)


class Matting:
    """The salient object's alpha, from an IS-Net in ONNX."""

    def __init__(self, path, threads=1):
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError('cutting out needs onnxruntime: pip install onnxruntime') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options,
                                                    providers=['CPUExecutionProvider'])
        self.input = self.session.get_inputs()[0].name

    def __call__(self, rgb):
        """uint8 (H, W, 3) -> float32 (H, W) in [0, 1]."""
        x = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        x = np.ascontiguousarray(((x - 128) / 256).transpose(2, 0, 1)[None])
        alpha = self.session.run(None, {self.input: x})[0][0, 0]
        return np.clip(cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA), 0, 1)


def single_thing(alpha, most_doubt=MOST_DOUBT):
    """Judges an alpha float32 (H, W): the mask of its one thing, or (None, why not).

    most_doubt: pixels that are neither in nor out, as a share of its area.
    """
    solid = (alpha > .5).astype(np.uint8)
    area = int(solid.sum())
    if not .02 * alpha.size < area < .9 * alpha.size:
        return None, 'too small or too large'
    doubt = ((alpha > .15) & (alpha < .85)).sum() / area
    if doubt > most_doubt:
        return None, 'doubtful'
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < .93 * area:
        return None, 'in pieces'
    mask = labels == largest
    outside = cv2.floodFill(np.pad(mask.astype(np.uint8), 1), None, (0, 0), 2)[1][1:-1, 1:-1]
    if (outside == 0).sum() > .12 * area:
        return None, 'full of holes'
    return mask, ''


def borders_of(mask, share=.06):
    """Names of the image's borders that a mask runs into with more than `share` of its extent."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    high, wide = len(rows), len(columns)
    touching = {'left': mask[:, :2].any(axis=1).sum() / high,
                'right': mask[:, -2:].any(axis=1).sum() / high,
                'top': mask[:2].any(axis=0).sum() / wide,
                'bottom': mask[-2:].any(axis=0).sum() / wide}
    return [name for name in BORDERS if touching[name] > share]


def cut_out(rgb, alpha, mask):
    """RGBA uint8 of a mask's bounding box, MAX_SIDE at most, and (left, top, scale) of the crop.

    Colours at the soft rim are the thing's own, not those of what was behind it.
    """
    near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    alpha = alpha * near
    rows, columns = np.flatnonzero((alpha > .1).any(axis=1)), np.flatnonzero((alpha > .1).any(0))
    top, left = max(0, rows[0] - 1), max(0, columns[0] - 1)
    part = slice(top, rows[-1] + 2), slice(left, columns[-1] + 2)
    rgb, alpha = rgb[part].astype(np.float32), alpha[part]
    sure = (alpha > .9).astype(np.float32)
    weight = cv2.GaussianBlur(sure, (0, 0), 2.0)[..., None]
    inner = cv2.GaussianBlur(rgb * sure[..., None], (0, 0), 2.0) / np.maximum(weight, 1e-3)
    rim = ((alpha < .9)[..., None]) & (weight > .02)
    rgb = np.where(rim, inner, rgb)
    scale = min(1, MAX_SIDE / max(alpha.shape))
    rgba = np.dstack([rgb, alpha * 255])
    if scale < 1:
        rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(rgba), 0, 255).astype(np.uint8), (left, top, scale)


def things_of(root, source):
    """Jobs of a source of single things: path, class, original name."""
    folder = root / source
    names = {}
    if source == 'caltech101':
        names = {k: (v, k) for k, v in json.loads((folder / 'classes.json').read_text()).items()}
    elif source == 'trashnet':
        labels = json.loads((folder / 'image_labels.json').read_text())
        names = {f'{k}.jpg': (v, k) for k, v in labels.items()}
    else:
        for line in (folder / 'map.tsv').read_text().splitlines():
            file, original = line.split('\t')
            parts = original.split('/')
            names[file] = (parts[1] if source == 'clothing' else parts[2], original)
    for file, (name, original) in sorted(names.items()):
        if name not in SKIPPED and (folder / 'rgb' / file).is_file():
            yield {'key': f'{source}/{file}', 'path': folder / 'rgb' / file, 'name': name,
                   'original': original, 'source': source}


def people_of(root, source):
    """Jobs of a source with teachers' labels: one per person that stands alone."""
    folder = root / source
    masks = np.load(folder / 'pascal.npz')
    originals = {}
    if (folder / 'map.tsv').is_file():
        originals = dict(line.split('\t')
                         for line in (folder / 'map.tsv').read_text().splitlines())
    for line in (folder / 'teacher.jsonl').read_text().splitlines():
        label = json.loads(line)
        boxes = [b[2:] for b in label['boxes'] if b[0] == 'person' and b[1] > .4]
        sure = [b[2:] for b in label['boxes'] if b[0] == 'person' and b[1] > .6]
        stem = Path(label['file']).stem
        if not sure or stem not in masks.files:
            continue
        pascal = cv2.imdecode(np.frombuffer(masks[stem].tobytes(), np.uint8),
                              cv2.IMREAD_GRAYSCALE)
        pascal = cv2.resize(pascal, label['size'], interpolation=cv2.INTER_NEAREST)
        for number, box in enumerate(sure):
            high = box[3] - box[1]
            alone = all(_shared(box, other) < .12 for other in boxes if other != box)
            if high < 56 or not alone:
                continue
            poses = [np.array(p) for p in label.get('people', []) if _inside(np.array(p), box)]
            yield {'key': f'{source}/{label["file"]}#{number}', 'name': 'person',
                   'path': folder / 'rgb' / label['file'], 'box': box, 'source': source,
                   'person': pascal == PASCAL_PERSON, 'poses': poses,
                   'original': originals.get(label['file'], label['file'])}


def _shared(box, other):
    """The share of `box` that `other` covers; both x0, y0, x1, y1."""
    wide = min(box[2], other[2]) - max(box[0], other[0])
    high = min(box[3], other[3]) - max(box[1], other[1])
    return max(0, wide) * max(0, high) / max(1, (box[2] - box[0]) * (box[3] - box[1]))


def _inside(pose, box, margin=.1):
    """Whether the sure joints of a pose (17, 3) are in a box."""
    sure = pose[pose[:, 2] > .3]
    wide, high = (box[2] - box[0]) * margin, (box[3] - box[1]) * margin
    inside = ((sure[:, 0] > box[0] - wide) & (sure[:, 0] < box[2] + wide)
              & (sure[:, 1] > box[1] - high) & (sure[:, 1] < box[3] + high))
    return len(sure) >= 5 and inside.mean() > .9


def entry_of(job, matting):
    """The index line of a job, and its RGBA image (None where rejected)."""
    rgb = cv2.imread(str(job['path']))[..., ::-1]
    file = job['key'].replace('/', '_').replace('#', '_').rsplit('.', 1)
    entry = {'key': job['key'], 'file': f'{file[0]}_{file[1].removeprefix("jpg")}'.strip('_')
             + '.webp', 'name': job['name'], 'source': job['source'],
             'original': job['original'], 'licence': LICENCES[job['source']]}
    left = top = 0
    if job['name'] == 'person':
        x0, y0, x1, y1 = job['box']
        wide, high = (x1 - x0) * .12, (y1 - y0) * .06
        height, width = rgb.shape[:2]
        left, top = max(0, int(x0 - wide)), max(0, int(y0 - high))
        part = slice(top, min(height, int(y1 + high) + 1)), slice(left,
                                                                 min(width, int(x1 + wide) + 1))
        whole = rgb.shape
        rgb, teacher = rgb[part], job['person'][part]
    alpha = matting(rgb)
    person = job['name'] == 'person'
    mask, why = single_thing(alpha, MOST_DOUBT_OF_PEOPLE if person else MOST_DOUBT)
    if mask is None:
        return {**entry, 'rejected': why}, None
    cut = borders_of(mask)
    if job['name'] == 'person':
        both = (mask & teacher).sum() / max(1, (mask | teacher).sum())
        if both < .7:
            return {**entry, 'rejected': f'teachers agree on {both:.2f} only'}, None
        at_end = {'left': part[1].start == 0, 'top': part[0].start == 0,
                  'right': part[1].stop >= whole[1], 'bottom': part[0].stop >= whole[0]}
        if any(not at_end[name] for name in cut):
            return {**entry, 'rejected': 'larger than its box'}, None
    elif cut:
        return {**entry, 'rejected': f'runs into {", ".join(cut)}'}, None
    rgba, (x, y, scale) = cut_out(rgb, alpha, mask)
    size = rgba.shape[1], rgba.shape[0]
    entry.update(kind='thing', size=size, cut=cut, flat=job['name'] in FLAT,
                 metres=METRES.get(job['name'], DEFAULT_METRES))
    if job['name'] == 'person':
        entry.update(_pose(job, rgba, (left + x, top + y, scale)), kind='person', flat=False)
    return entry, rgba


# The share of a standing person's height above each joint, COCO order (Drillis and Contini 1966)
ABOVE = np.array((.07, .06, .06, .07, .07, .18, .18, .37, .37, .51, .51, .47, .47, .72, .72,
                  .96, .96))


def _pose(job, rgba, crop):
    """Keypoints in a person's cut-out, and the metres from its lower to its upper edge."""
    keypoints = np.zeros((17, 3))
    if len(job['poses']) == 1:
        pose = job['poses'][0]
        keypoints[:, :2] = (pose[:, :2] - crop[:2] + .5) * crop[2] - .5
        sure = pose[:, 2] > .35
        x, y = np.rint(keypoints[:, 0]).astype(int), np.rint(keypoints[:, 1]).astype(int)
        inside = sure & (x >= 0) & (y >= 0) & (x < rgba.shape[1]) & (y < rgba.shape[0])
        near = cv2.dilate(rgba[..., 3], np.ones((5, 5), np.uint8))
        on = np.zeros(17, bool)
        on[inside] = near[y[inside], x[inside]] > 128
        keypoints[on, 2] = 2
        keypoints[~on] = 0
    # how much of a person there is
    seen = keypoints[:, 2] > 0
    whole = seen[15:].any()
    height = 1.7
    if not whole:
        # from two heights of the body that are seen: eyes or nose, shoulders, hips, knees
        known = [(ABOVE[j], keypoints[j, 1]) for j in (*range(7), *range(11, 15)) if seen[j]]
        if len(known) >= 3 and max(k[0] for k in known) - min(k[0] for k in known) > .08:
            slope = np.polyfit(*zip(*known), 1)[0]       # pixels per body height
            height = float(np.clip(1.7 * rgba.shape[0] / max(slope, 1), .3, 1.7))
        else:
            height = 1.7 if rgba.shape[0] > 2.6 * rgba.shape[1] else .75
    return {'keypoints': np.round(keypoints, 1).tolist(), 'metres': round(height, 2),
            'whole': bool(whole)}


def interleaved(jobs):
    """Jobs of several sources in turn, so that a run that is stopped has some of each."""
    jobs = [list(j) for j in jobs]
    for j in jobs:
        np.random.default_rng(0).shuffle(j)
    while any(jobs):
        for j in jobs:
            if j:
                yield j.pop()


def contact_sheet(cutouts, entries, columns=16, side=96):
    """The cut-outs on grey, uint8 (H, W, 3), with the joints of people."""
    tiles = []
    for entry in entries:
        rgba = cutouts.image(entry).astype(np.float32)
        alpha = rgba[..., 3:] / 255
        tile = np.ascontiguousarray(rgba[..., :3] * alpha + 110 * (1 - alpha)).astype(np.uint8)
        for x, y, v in entry.get('keypoints', []):
            if v:
                cv2.circle(tile, (round(x), round(y)), 2, (0, 255, 0), -1)
        scale = side / max(tile.shape[:2])
        tile = cv2.resize(tile, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = tile[:side, :side]
        tiles.append(cv2.copyMakeBorder(tile, 0, side - tile.shape[0], 0, side - tile.shape[1],
                                        cv2.BORDER_CONSTANT, value=(60, 60, 60)))
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    return np.concatenate([np.concatenate(tiles[i:i + columns], axis=1)
                           for i in range(0, len(tiles), columns)])


def main():
    parser = argparse.ArgumentParser(prog='python -m diception_ros.lab.datasets.cutouts',
                                     description=__doc__.split('\n')[0])
    parser.add_argument('real', type=Path, nargs='?', help='the folder of sources')
    parser.add_argument('--out', type=Path, required=True, help='the folder of cut-outs')
    parser.add_argument('--network', type=Path, help='IS-Net, an ONNX file')
    parser.add_argument('--sources', nargs='+', default=[*PEOPLE, *THINGS],
                        choices=[*PEOPLE, *THINGS], help='to cut from')
    parser.add_argument('--limit', type=int, default=None, help='of photographs to look at')
    parser.add_argument('--sheet', type=Path, help='only write a contact sheet of what is there')
    parser.add_argument('--source', help='of the contact sheet')
    parser.add_argument('--start', type=int, default=0, help='first cut-out of the contact sheet')
    options = parser.parse_args()
    if options.sheet:
        cutouts = Cutouts(options.out, split=None)
        entries = [e for e in cutouts.entries if options.source in (None, e['source'])]
        if options.source is None:
            np.random.default_rng(0).shuffle(entries)
        sheet = contact_sheet(cutouts, entries[options.start:options.start + 192])
        cv2.imwrite(str(options.sheet), sheet[..., ::-1])
        return 0
    if not options.network or not options.real:
        parser.error('name the folder of sources and --network')
    (options.out / 'images').mkdir(parents=True, exist_ok=True)
    index = options.out / 'index.jsonl'
    done = set()
    if index.is_file():
        done = {json.loads(line)['key'] for line in index.read_text().splitlines()}
    sources = [people_of(options.real, s) for s in PEOPLE
               if s in options.sources and (options.real / s).is_dir()]
    sources += [things_of(options.real, s) for s in THINGS
                if s in options.sources and (options.real / s).is_dir()]
    jobs = [j for j in interleaved(sources) if j['key'] not in done][:options.limit]
    cv2.setNumThreads(1)            # a background job on one core
    matting = Matting(options.network)
    kept, began = 0, time.monotonic()
    with index.open('a') as lines:
        for count, job in enumerate(jobs, 1):
            entry, rgba = entry_of(job, matting)
            if rgba is not None:
                kept += 1
                path = options.out / 'images' / entry['file']
                if not cv2.imwrite(str(path), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA),
                                   [cv2.IMWRITE_WEBP_QUALITY, 92]):
                    raise OSError(f'{path}: cannot be written')
            lines.write(json.dumps(entry) + '\n')
            lines.flush()
            if count % 50 == 0 or count == len(jobs):
                left = (time.monotonic() - began) / count * (len(jobs) - count)
                print(f'{count} of {len(jobs)} photographs, {kept} cut-outs, '
                      f'{left / 60:.0f} min left', file=sys.stderr, flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
