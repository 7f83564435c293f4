"""Views of 3-D models (OBJ with textures): colour, alpha, depth in metres, normals and points, from any side.

Rays are cast by Embree through trimesh (both are wheels, neither is needed elsewhere): a model is a few thousand triangles and a
view takes a fraction of a second on one core, without a display or OpenGL. Light is fixed and simple; there are no cast shadows.
"""

import importlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unified_demo.errors import MediaError

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
SAMPLES = 2
"""Rays per pixel and side."""
GLASS_ALPHA = 0.55
"""What is nearly invisible is still drawn with this alpha, or a glass would not be there."""
MAX_MODEL_BYTES = 24 * 2**20
FIELD_DEG = 30.0


@dataclass(frozen=True)
class Camera:
    """Looks at the middle of the model. ``azimuth_deg``: 0 is its front, positive to its left side; ``size``: pixels, square."""

    azimuth_deg: float = 30.0
    elevation_deg: float = 18.0
    size: int = 256


@dataclass(frozen=True)
class View:
    """One view, all H x W. ``rgb`` uint8; ``alpha`` 0..1; ``depth`` metres along the axis of view, 0 where nothing is;

    ``normals``: unit vectors in camera axes (x right, y up, z to the viewer), 0 where nothing is; ``points``: (n, 3) metres in
    the model's axes (y up, origin in its middle) with their colours ``point_rgb`` (n, 3) uint8.
    """

    camera: Camera
    rgb: npt.NDArray[np.uint8]
    alpha: Floats
    depth: Floats
    normals: Floats
    points: Floats
    point_rgb: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Model:
    """Triangles in metres, y up, centred. ``colours``: (materials, 4) RGBA 0..1; ``textures``: an RGB picture or None each.

    ``vertices`` (v, 3); ``normals`` (v, 3), 0 where the file has none (faces are then flat); ``uv`` (v, 2); ``faces`` (f, 3);
    ``material`` (f,).
    """

    vertices: Floats
    normals: Floats
    uv: Floats
    faces: npt.NDArray[np.int64]
    material: npt.NDArray[np.int64]
    colours: Floats
    textures: tuple[npt.NDArray[np.uint8] | None, ...]

    @property
    def radius_m(self) -> float:
        return float(np.linalg.norm(self.vertices, axis=1).max())


def optional(package: str, module: str | None = None) -> Any:
    """A library that only this part needs; MediaError says how to get it."""
    try:
        return importlib.import_module(module or package)
    except ImportError as exc:
        raise MediaError(f"This part of the assets needs '{package}'; run 'pip install trimesh embreex resvg-py' and fetch again.") from exc


def load_model(path: Path, size_m: Sequence[float] | None = None, rotation: Sequence[float] | None = None) -> Model:
    """An OBJ file with its materials. ``size_m``: (width, height, depth) it is stretched to; ``rotation``: 9 numbers, row by row.

    Raises MediaError for a file that is missing, larger than MAX_MODEL_BYTES, broken or without triangles.
    """
    trimesh = optional("trimesh")
    logging.getLogger("trimesh").setLevel(logging.ERROR)
    if not path.is_file() or path.stat().st_size > MAX_MODEL_BYTES:
        raise MediaError(f"{path} is no model of at most {MAX_MODEL_BYTES >> 20} MB.")
    try:
        scene = trimesh.load(path, force="scene", process=False)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, NotImplementedError) as exc:
        raise MediaError(f"{path} cannot be read as a model ({exc}).") from exc
    if not parts:
        raise MediaError(f"{path} has no triangles.")
    model = _joined(parts)
    if b"\nvn " not in path.read_bytes():
        model = replace(model, normals=np.zeros_like(model.normals))
    return _fit(model, size_m, rotation)


def _joined(parts: Sequence[Any]) -> Model:
    """All parts as one list of triangles, each with its material."""
    looks = [_look(part) for part in parts]
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Model(
        np.concatenate([part.vertices for part in parts]).astype(np.float32),
        np.concatenate([part.vertex_normals for part in parts]).astype(np.float32),
        np.concatenate([look[2] for look in looks]),
        np.concatenate([part.faces + offset for part, offset in zip(parts, offsets[:-1], strict=True)]).astype(np.int64),
        np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]),
        np.stack([look[0] for look in looks]),
        tuple(look[1] for look in looks),
    )


def _look(part: Any) -> tuple[Floats, npt.NDArray[np.uint8] | None, Floats]:
    """Colour RGBA 0..1, texture or None, and texture coordinates of one part."""
    uv = np.zeros((len(part.vertices), 2), np.float32)
    material = getattr(part.visual, "material", None)
    colour = np.array([0.7, 0.7, 0.7, 1.0], np.float32)
    if material is None:
        return colour, None, uv
    if getattr(material, "diffuse", None) is not None:
        colour[:3] = np.asarray(material.diffuse[:3], np.float32) / 255
    extra = getattr(material, "kwargs", {})
    if opacity := extra.get("d"):
        colour[3] = max(GLASS_ALPHA, float(opacity[0]))
    coordinates = getattr(part.visual, "uv", None)
    if coordinates is None or getattr(material, "image", None) is None:
        return colour, None, uv
    uv[:] = np.asarray(coordinates, np.float32)[:, :2]
    colour[:3] = 1.0
    return colour, np.asarray(material.image.convert("RGB")), uv


def _fit(model: Model, size_m: Sequence[float] | None, rotation: Sequence[float] | None) -> Model:
    vertices, normals = model.vertices, model.normals
    if rotation is not None:
        turn = np.asarray(rotation, np.float32).reshape(3, 3).T
        vertices, normals = vertices @ turn, normals @ turn
    low, high = vertices.min(0), vertices.max(0)
    vertices = vertices - (low + high) / 2
    if size_m is not None:
        scale = np.asarray(size_m, np.float32) / np.maximum(high - low, 1e-6)
        vertices, normals = vertices * scale, normals / scale
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return replace(model, vertices=vertices.astype(np.float32), normals=(normals / np.maximum(length, 1e-9)).astype(np.float32))


class Renderer:
    """Casts rays at one model; build once, then take any number of views."""

    def __init__(self, model: Model) -> None:
        trimesh = optional("trimesh")
        optional("embreex")
        casting = optional("trimesh", "trimesh.ray.ray_pyembree")
        self.model = model
        self._cast = casting.RayMeshIntersector(trimesh.Trimesh(model.vertices, model.faces, process=False))
        opaque = model.colours[model.material, 3] > 0.99
        self._behind = None
        if not opaque.all() and opaque.any():
            self._behind = casting.RayMeshIntersector(trimesh.Trimesh(model.vertices, model.faces[opaque], process=False))
            self._opaque = np.flatnonzero(opaque)

    def view(self, camera: Camera) -> View:
        """The model from one side; it fills the picture as far as it can be turned in it."""
        right, up, back = camera_axes(camera)
        distance = self.model.radius_m / math.sin(math.radians(FIELD_DEG / 2))
        side = camera.size * SAMPLES
        step = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
        extent = math.tan(math.radians(FIELD_DEG / 2))
        across, down = np.meshgrid(step * extent, -step * extent)
        rays = across[..., None] * right + down[..., None] * up - back
        rays = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3)
        origin = back * distance
        rgba, depth, normals, points = self._shade(origin, rays, (right, up, back))
        return _view(camera, rgba, depth, normals, points, side)

    def _shade(self, origin: Floats, rays: Floats, axes: tuple[Floats, Floats, Floats]) -> tuple[Floats, Floats, Floats, Floats]:
        """Per ray: RGBA 0..1 (premultiplied), depth, normal in camera axes, point; zeros where nothing is hit."""
        count = len(rays)
        rgba, depth = np.zeros((count, 4), np.float32), np.zeros(count, np.float32)
        normals, points = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
        faces = self._cast.intersects_first(np.broadcast_to(origin, rays.shape), rays)
        hit = np.flatnonzero(faces >= 0)
        if not len(hit):
            return rgba, depth, normals, points
        colour, normal, point = self._surface(faces[hit], origin, rays[hit], axes)
        rgba[hit] = colour
        normals[hit], points[hit] = normal, point
        depth[hit] = (origin - point) @ axes[2]
        if self._behind is not None:
            through = hit[colour[:, 3] < 0.99]
            below = (
                self._behind.intersects_first(np.broadcast_to(origin, rays[through].shape), rays[through]) if len(through) else np.array([])
            )
            seen = np.flatnonzero(below >= 0)
            if len(seen):
                lower, _, _ = self._surface(self._opaque[below[seen].astype(int)], origin, rays[through[seen]], axes)
                rgba[through[seen]] += (1 - rgba[through[seen], 3:]) * lower
        return rgba, depth, normals, points

    def _surface(
        self, faces: npt.NDArray[np.int64], origin: Floats, rays: Floats, axes: tuple[Floats, Floats, Floats]
    ) -> tuple[Floats, Floats, Floats]:
        """Lit colour (premultiplied), normal in camera axes and point where rays meet faces."""
        model = self.model
        corners = model.vertices[model.faces[faces]]
        first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        flat = np.cross(first, second)
        along = np.einsum("ij,ij->i", rays, flat)
        along = np.where(np.abs(along) < 1e-12, 1e-12, along)
        distance = np.einsum("ij,ij->i", corners[:, 0] - origin, flat) / along
        points = origin + rays * distance[:, None]
        weights = _barycentric(points - corners[:, 0], first, second)
        normal = np.einsum("ij,ijk->ik", weights, model.normals[model.faces[faces]])
        flat_unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
        normal = np.where(np.abs(np.einsum("ij,ij->i", normal, flat_unit))[:, None] < 0.3, flat_unit, normal)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        normal = np.where(np.einsum("ij,ij->i", normal, rays)[:, None] > 0, -normal, normal)
        seen = normal @ np.stack(axes).T
        colour = self._colour(faces, weights)
        light = 0.5 + 0.42 * np.clip(seen @ _unit(-0.5, 0.75, 0.6), 0, None) + 0.2 * np.clip(seen @ _unit(0.7, 0.1, 0.7), 0, None)
        colour[:, :3] = np.clip(colour[:, :3] * light[:, None], 0, 1) * colour[:, 3:]
        return colour, seen.astype(np.float32), points.astype(np.float32)

    def _colour(self, faces: npt.NDArray[np.int64], weights: Floats) -> Floats:
        model = self.model
        materials = model.material[faces]
        colour = model.colours[materials].copy()
        for number in np.unique(materials):
            texture = model.textures[number]
            if texture is None:
                continue
            rows = np.flatnonzero(materials == number)
            uv = np.einsum("ij,ijk->ik", weights[rows], model.uv[model.faces[faces[rows]]]) % 1.0
            height, width = texture.shape[:2]
            x, y = (uv[:, 0] * width).astype(int) % width, ((1 - uv[:, 1]) * height).astype(int) % height
            colour[rows, :3] = texture[y, x].astype(np.float32) / 255
        return colour


def turntable(model: Model, count: int, elevation_deg: float = 18.0, size: int = 256) -> Iterator[View]:
    """``count`` views all around, evenly spaced, beginning at the front."""
    renderer = Renderer(model)
    for number in range(count):
        yield renderer.view(Camera(360.0 * number / count, elevation_deg, size))


def camera_axes(camera: Camera) -> tuple[Floats, Floats, Floats]:
    """Right, up and backward (to the viewer) unit vectors of the camera in the model's axes; the front of a model looks along +z."""
    azimuth, elevation = math.radians(camera.azimuth_deg), math.radians(camera.elevation_deg)
    back = np.array([math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)], np.float32)
    right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)], np.float32)
    return right, np.cross(back, right).astype(np.float32), back


def _view(camera: Camera, rgba: Floats, depth: Floats, normals: Floats, points: Floats, side: int) -> View:
    """Samples to pixels: colours are averaged; depth, normal and point come from the nearest sample of each pixel."""
    pixels = rgba.reshape(camera.size, SAMPLES, camera.size, SAMPLES, 4).mean((1, 3))
    alpha = pixels[..., 3]
    rgb = np.round(pixels[..., :3] / np.maximum(alpha[..., None], 1e-6) * 255).clip(0, 255).astype(np.uint8)
    blocks = depth.reshape(camera.size, SAMPLES, camera.size, SAMPLES).swapaxes(1, 2).reshape(camera.size, camera.size, -1)
    hits = np.where(blocks > 0, blocks, np.inf)
    best = hits.argmin(-1)
    row, column = np.indices(best.shape)
    sample = (row * SAMPLES + best // SAMPLES) * side + column * SAMPLES + best % SAMPLES
    solid = alpha >= 0.5
    picked = sample[solid]
    out_depth, out_normals = np.zeros(best.shape, np.float32), np.zeros((*best.shape, 3), np.float32)
    out_depth[solid], out_normals[solid] = depth[picked], normals[picked]
    return View(camera, rgb, alpha, out_depth, out_normals, points[picked], rgb[solid])


def _barycentric(offset: Floats, first: Floats, second: Floats) -> Floats:
    """(n, 3) weights of the corners for points in the planes of triangles."""
    d00, d01, d11 = (np.einsum("ij,ij->i", a, b) for a, b in ((first, first), (first, second), (second, second)))
    d20, d21 = np.einsum("ij,ij->i", offset, first), np.einsum("ij,ij->i", offset, second)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-20)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    return np.clip(np.stack([1 - v - w, v, w], axis=1), 0, 1).astype(np.float32)


def _unit(x: float, y: float, z: float) -> Floats:
    vector = np.array([x, y, z], np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)
