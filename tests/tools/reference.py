# tests/tools/reference.py -- the operators in float64, written from the formulas alone.
"""T tokens, n streams, C channels. S[a,b] is the stored matrix; a row step divides by the sum over b (the last axis)."""
import numpy as np

PRESETS = {  # layout, start, order, eps_mode, sinkhorn_eps, iters, rms_eps, pre_eps, post_mult
    "paper": dict(layout="out_in", start="exp", order="col_row", mode="none", eps=0, iters=20, rms_eps=1e-6, pre_eps=0, post_mult=2),
    "mhc_cu": dict(layout="out_in", start="exp", order="row_col", mode="thresh", eps=1e-5, iters=20, rms_eps=1e-5, pre_eps=0, post_mult=2),
    "deepseek": dict(layout="src_dst", start="softmax", order="row_col", mode="add_both", eps=1e-6, iters=20, rms_eps=1e-6,
                     pre_eps=1e-6, post_mult=1),
    "liger": dict(layout="out_in", start="softmax", order="row_col", mode="add_both", eps=1e-6, iters=20, rms_eps=1e-6, pre_eps=0,
                  post_mult=2),
    "aiter_triton": dict(layout="src_dst", start="log", order="row_col", mode="none", eps=0, iters=20, rms_eps=1e-6, pre_eps=0,
                         post_mult=2),
}


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, np.float64)))


def step(s, axis, o):
    total = s.sum(axis=axis, keepdims=True)
    if o["mode"] == "thresh":
        return np.where(total > o["eps"], s / np.where(total > o["eps"], total, 1), s)
    return s / (total + (o["eps"] if o["mode"] in ("add", "add_both") else 0))


def sinkhorn(z, o):
    s = np.exp(np.asarray(z, np.float64))
    steps = {"row": -1, "col": -2}
    order = [steps[name] for name in o["order"].split("_")] * o["iters"]
    if o["start"] == "softmax" and o["iters"] > 0:
        s = s / s.sum(axis=-1, keepdims=True) + (o["eps"] if o["mode"] == "add_both" else 0)
        order = order[1:]
    for axis in order:
        s = step(s, axis, o)
    return s


def rms(x, eps):
    return np.sqrt(np.mean(np.asarray(x, np.float64) ** 2, axis=-1) + eps)


def apply_mix(x, pre):
    return np.einsum("...i,tic->tc" if np.ndim(pre) == 1 else "ti,tic->tc", np.asarray(pre, np.float64), x)


def post(y, x, post_, mix, o):
    tokens, n = x.shape[:2]
    mix = np.broadcast_to(np.asarray(mix, np.float64), (tokens, n, n))
    mix = mix if o["layout"] == "out_in" else np.swapaxes(mix, -1, -2)
    post_ = np.broadcast_to(np.asarray(post_, np.float64), (tokens, n))
    return post_[:, :, None] * np.asarray(y, np.float64)[:, None, :] + mix @ np.asarray(x, np.float64)


def project(x, fn):
    """x . fn^T and the sum of x^2, whole: one split."""
    flat = np.asarray(x, np.float64).reshape(x.shape[0], x.shape[1] * x.shape[2])
    return (flat @ np.asarray(fn, np.float64).T)[None], (flat ** 2).sum(axis=-1)[None]


def logits(proj, sqsum, scale, base, n, channels, o):
    """z of every row, from splits [S, T, m] and [S, T]."""
    r = 1 / np.sqrt(np.sum(sqsum, axis=0, dtype=np.float64) / (n * channels) + o["rms_eps"])
    scales = np.repeat(np.asarray(scale, np.float64), [n, n, n * n]) if len(scale) == 3 else scale
    return np.sum(proj, axis=0, dtype=np.float64) * r[:, None] * scales + base


def mixes(z, n, o):
    """pre, post and the matrix as it is before Sinkhorn."""
    return sigmoid(z[:, :n]) + o["pre_eps"], o["post_mult"] * sigmoid(z[:, n:2 * n]), z[:, 2 * n:].reshape(-1, n, n)


def coefficients(x, fn, scale, base, o):
    tokens, n, channels = x.shape
    p, q, raw = mixes(logits(*project(x, fn), scale, base, n, channels, o), n, o)
    return p, q, sinkhorn(raw, o)


def aggregate(x, p, o, norm_weight=None):
    layer_input = apply_mix(x, p)
    if norm_weight is not None:
        layer_input = layer_input / rms(layer_input, o["rms_eps"])[:, None] * norm_weight
    return layer_input


def pre(x, fn, scale, base, o, norm_weight=None):
    p, q, mix = coefficients(x, fn, scale, base, o)
    return {"layer_input": aggregate(x, p, o, norm_weight), "pre": p, "post": q, "mix": mix}


def pre_big_fuse(proj, sqsum, x, scale, base, o, norm_weight=None):
    _, n, channels = x.shape
    p, q, raw = mixes(logits(proj, sqsum, scale, base, n, channels, o), n, o)
    return {"layer_input": aggregate(x, p, o, norm_weight), "pre": p, "post": q, "mix": sinkhorn(raw, o)}


def head(x, fn, scale, base, o, norm_weight=None):
    _, n, channels = x.shape
    z = logits(*project(x, fn), scale, base, n, channels, o)
    return aggregate(x, sigmoid(z) + o["pre_eps"], o, norm_weight)


def layer(x, p, q, mix, weight, o):
    tokens, n, _ = x.shape
    a = apply_mix(x, np.broadcast_to(p, (tokens, n)))
    y = a / rms(a, o["rms_eps"])[:, None] * weight
    return post(y, x, q, mix, o)


def static_layer(x, h_pre, h_post, h_res, weight, o):
    return layer(x, sigmoid(h_pre) + o["pre_eps"], o["post_mult"] * sigmoid(h_post), sinkhorn(h_res, o), weight, o)


def dynamic_layer(x, phi, alpha, b, weight, o):
    fn = np.concatenate(phi)
    base = np.concatenate([np.asarray(part).reshape(-1) for part in b])
    return layer(x, *coefficients(x, fn, np.concatenate(alpha), base, o), weight, o)


def to_bf16(x):
    """Rounded to nearest even, as float32."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return np.where(np.isnan(x), np.float32(np.nan), rounded.astype(np.uint32).view(np.float32))


def relative_norm(result, reference):
    return np.linalg.norm(np.asarray(result, np.float64) - reference) / max(np.linalg.norm(reference), 1e-30)
