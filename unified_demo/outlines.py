"""Bool masks as vector outlines: marching squares on the pixel grid, then Douglas-Peucker, as the ``d`` of an SVG path.

Pure numpy, about 10 ms for a megapixel mask. Does not know where a mask came from or how it is drawn.
"""

import numpy as np


def mask_to_svg_path(mask: np.ndarray, tolerance: float = 0.6, max_bytes: int = 20_000) -> str:
    """Bool H x W -> the ``d`` of an SVG path in pixel units (0 0 W H), one closed polygon per outline.

    Draw it with ``fill-rule="evenodd"``: holes are outlines of their own. Outlines follow marching squares and are
    simplified (Douglas-Peucker) by ``tolerance`` pixels, coarser when the text would exceed ``max_bytes``.
    An empty mask gives an empty string.
    """
    scale = 1
    corners = _corners(mask)
    while len(corners) > 30_000:
        scale *= 2
        corners = _corners(_halved(mask, scale))
    loops = [loop * scale for loop in _trace(corners)]
    while True:
        loops = [loop for loop in (_simplify(loop, tolerance) for loop in loops) if len(loop) >= 3]
        path = _spell_path(loops)
        if len(path) <= max_bytes:
            return path or _spell_path(_outer_box(mask))
        tolerance *= 1.6
        loops = [loop for loop in loops if np.ptp(loop, axis=0).max() > tolerance * 3]


def _outer_box(mask: np.ndarray) -> list[np.ndarray]:
    """The box around a mask too small for an outline, as a polygon; nothing for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return [np.array(((x0, y0), (x1, y0), (x1, y1), (x0, y1)))]


def _halved(mask: np.ndarray, factor: int) -> np.ndarray:
    """Majority vote over factor x factor blocks; bool ceil(H/factor) x ceil(W/factor)."""
    height, width = (-(-side // factor) for side in mask.shape)
    padded = np.zeros((height * factor, width * factor), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return padded.reshape(height, factor, width, factor).mean(axis=(1, 3)) >= 0.5


def _corners(mask: np.ndarray) -> np.ndarray:
    """Corners (y, x) of the pixel outline, int N x 2, row by row; where two pixels touch by a corner it counts twice."""
    padded = np.pad(mask, 1).astype(np.uint8)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    repeats = ((a ^ b ^ c ^ d) + 2 * ((a == d) & (b == c) & (a != b))).ravel()
    where = np.flatnonzero(repeats)
    return np.stack(np.divmod(np.repeat(where, repeats[where]), a.shape[1]), axis=1)


def _trace(corners: np.ndarray) -> list[np.ndarray]:
    """Link corners into closed loops, each float N x 2 (x, y): horizontal edges pair up along rows, vertical ones along columns.

    Returned are the marching-squares points of ``_edge_points``.
    """
    count = len(corners)
    if not count:
        return []
    along_row = (np.arange(count) ^ 1).tolist()
    order = np.lexsort((corners[:, 0], corners[:, 1]))
    partners = np.empty(count, np.int64)
    partners[order] = order[np.arange(count) ^ 1]
    along_column = partners.tolist()
    seen, loops = bytearray(count), list[np.ndarray]()
    for start in range(count):
        if seen[start]:
            continue
        loop, here = list[int](), start
        while not seen[here]:
            partner = along_row[here]
            seen[here] = seen[partner] = 1
            loop += (here, partner)
            here = along_column[partner]
        loops.append(_edge_points(corners[loop][:, ::-1].astype(np.float32)))
    return loops


def _edge_points(vertices: np.ndarray) -> np.ndarray:
    """Polygon corners N x 2 -> marching-squares points; a corner between two edges of 3 pixels or more stays sharp."""
    ahead = np.roll(vertices, -1, axis=0)
    edge = ahead - vertices
    long = np.abs(edge).max(axis=1) >= 3
    sharp = long & np.roll(long, 1)
    half = np.sign(edge) / 2
    starts = np.where(sharp[:, None], vertices, vertices + half)
    ends = np.where(np.roll(sharp, -1)[:, None], ahead, ahead - half)
    points = np.stack((starts, ends), axis=1).reshape(-1, 2)
    return points[(points != np.roll(points, 1, axis=0)).any(axis=1)]


def _simplify(loop: np.ndarray, tolerance: float) -> np.ndarray:
    """Douglas-Peucker on a closed loop, all open stretches of one round at once; float N x 2 in and out."""
    points = np.concatenate((loop, loop[:1]))
    keep = np.zeros(len(points), bool)
    keep[[0, -1]] = True
    keep[np.argmax(((points - points[0]) ** 2).sum(axis=1))] = True
    while True:
        anchors = np.flatnonzero(keep)
        stretch = np.searchsorted(anchors, np.arange(len(points)), side="right") - 1
        stretch = np.minimum(stretch, len(anchors) - 2)
        start = points[anchors[stretch]]
        chord = points[anchors[stretch + 1]] - start
        offset = points - start
        length = np.hypot(chord[:, 0], chord[:, 1])
        across = np.abs(chord[:, 0] * offset[:, 1] - chord[:, 1] * offset[:, 0]) / np.maximum(length, 1e-9)
        distance = np.where(length > 0, across, np.hypot(offset[:, 0], offset[:, 1]))
        farthest = np.maximum.reduceat(distance, anchors[:-1])[stretch]
        added = (distance == farthest) & (distance > tolerance) & ~keep
        if not added.any():
            return points[:-1][keep[:-1]]
        keep |= added


def _spell_path(loops: list[np.ndarray]) -> str:
    """Relative line commands with half-pixel steps."""
    pieces = []
    for loop in loops:
        halves = np.rint(loop * 2).astype(np.int64)
        x, y = (halves[0] / 2).tolist()
        steps = (np.diff(halves, axis=0) / 2).tolist()
        pieces.append(f"M{x:g} {y:g}l" + " ".join(f"{dx:g} {dy:g}" for dx, dy in steps) + "z")
    return "".join(pieces)
